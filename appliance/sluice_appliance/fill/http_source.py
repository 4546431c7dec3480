"""Reads an object from a source over HTTP, from where the partial object stands."""

import re
from collections.abc import AsyncIterator

import aiohttp

from sluice_appliance.fill.sources import FaultKind, Source, SourceFailed
from sluice_appliance.store.layout import ObjectHeader

# What may arrive while the last chunk is being written; it then makes one chunk, one hop to a thread.
_READ_BYTES = 1024 * 1024
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class HttpSources:
    """Reads from any source by plain GET with a Range."""

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
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=_READ_BYTES,
            headers=headers,
        )

    async def read(self, source: Source, wanted: ObjectHeader, offset: int) -> AsyncIterator[bytes]:
        """The body from byte `offset` on, as it comes. Raises SourceFailed."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        try:
            async with self._session.get(
                source.base_url + wanted.key, headers=headers, allow_redirects=False
            ) as response:
                skip = _bytes_to_skip(response, wanted, offset)
                async for data in response.content.iter_any():
                    kept = data[skip:]
                    skip = max(0, skip - len(data))
                    if kept:
                        yield kept
        except aiohttp.ClientPayloadError as error:
            raise SourceFailed(FaultKind.TRUNCATED, str(error)) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise SourceFailed(FaultKind.UNAVAILABLE, str(error) or type(error).__name__) from None


def _bytes_to_skip(response: aiohttp.ClientResponse, wanted: ObjectHeader, offset: int) -> int:
    """How many bytes come before the one that was asked for. Raises SourceFailed."""
    if response.status == 200:
        # A source that knows no ranges sends all of it.
        _check_size(response.content_length, wanted.size_bytes)
        return offset
    if response.status != 206:
        raise SourceFailed(FaultKind.UNAVAILABLE, f"status {response.status}")
    said = response.headers.get("Content-Range", "")
    match = _CONTENT_RANGE.fullmatch(said)
    if match is None or int(match[1]) > offset:
        raise SourceFailed(
            FaultKind.UNAVAILABLE, f"asked for bytes {offset}-, got Content-Range {said!r}"
        )
    _check_size(None if match[3] == "*" else int(match[3]), wanted.size_bytes)
    return offset - int(match[1])


def _check_size(said: int | None, expected: int) -> None:
    if said is None or said == expected:
        return
    fault = FaultKind.OVERLONG if said > expected else FaultKind.TRUNCATED
    raise SourceFailed(fault, f"the source has {said} bytes of it, expected {expected}")
