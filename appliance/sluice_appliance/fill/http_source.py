"""Reads a range of an object from a source over HTTP."""

from collections.abc import AsyncIterator, Callable

import aiohttp

from sluice_appliance.fill.http_answer import Answer, Asked, headers_for, judge
from sluice_appliance.fill.sources import FaultKind, Source, SourceFailed
from sluice_appliance.store.layout import ObjectHeader

# What may arrive while the last chunk is being written; it then makes one chunk, one hop to a thread.
_READ_BYTES = 1024 * 1024


class HttpSources:
    """Reads from any source by plain GET, with a Range where not all is asked for."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    @staticmethod
    def open_session(appliance: str | None = None) -> aiohttp.ClientSession:
        """No time limit of its own (the fetcher has the stall limit), nothing decoded on the way. Each
        request names the box that asks, so that one that comes back to it is known (RFC 8586)."""
        headers = {"Accept-Encoding": "identity", "User-Agent": "sluice-appliance"}
        if appliance is not None:
            headers["CDN-Loop"] = appliance
        return aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None),
            # How many are asked at a time is the fetcher's to bound.
            connector=aiohttp.TCPConnector(limit=0),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=_READ_BYTES,
            headers=headers,
        )

    async def read(
        self,
        source: Source,
        wanted: ObjectHeader,
        start: int,
        end: int | None = None,
        *,
        etag: str | None = None,
        on_answer: Callable[[Answer], None] | None = None,
    ) -> AsyncIterator[bytes]:
        """Bytes `start` up to before `end`, by default all, as they come; fewer where the source ends
        before. `etag`: what it must still be. Raises SourceFailed."""
        asked = Asked(start, wanted.size_bytes if end is None else end, wanted.size_bytes, etag)
        try:
            async with self._session.get(
                source.base_url + wanted.key, headers=headers_for(asked), allow_redirects=False
            ) as response:
                answer = judge(response.status, response.headers, asked)
                if on_answer is not None:
                    on_answer(answer)
                async for piece in _body(response, asked, answer):
                    yield piece
        except aiohttp.ClientPayloadError as error:
            raise SourceFailed(FaultKind.TRUNCATED, str(error)) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise SourceFailed(FaultKind.UNAVAILABLE, str(error) or type(error).__name__) from None


async def _body(
    response: aiohttp.ClientResponse, asked: Asked, answer: Answer
) -> AsyncIterator[bytes]:
    skip, left = answer.skip_bytes, asked.end - asked.start
    async for data in response.content.iter_any():
        kept = data[skip:] if skip else data
        skip = max(0, skip - len(data))
        if len(kept) > left:
            if not answer.goes_on:
                raise SourceFailed(FaultKind.OVERLONG, f"more than the bytes up to {asked.end}")
            kept = kept[:left]
        left -= len(kept)
        if kept:
            yield kept
        if left == 0 and answer.goes_on:
            return
