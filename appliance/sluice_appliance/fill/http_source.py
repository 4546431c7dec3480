"""Reads a range of an object from a source over HTTP: plain by our own client, encrypted by aiohttp's."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import aiohttp

from sluice_appliance.fill.connection import EndedEarly
from sluice_appliance.fill.http_answer import Answer, Asked, Cut, headers_for, judge
from sluice_appliance.fill.plain_http import PlainHttp, plain_target
from sluice_appliance.fill.response_head import HeadMalformed
from sluice_appliance.fill.sources import Chunk, FaultKind, Source, SourceFailed
from sluice_appliance.store.layout import ObjectHeader

# What may arrive while the last chunk is being written; it then makes one chunk, one hop to a thread.
_READ_BYTES = 1024 * 1024


class HttpSession:
    """The connections to all sources; made by `HttpSources.open_session`."""

    def __init__(self, plain: PlainHttp, encrypted: aiohttp.ClientSession) -> None:
        self.plain = plain
        self.encrypted = encrypted


class HttpSources:
    """Reads from any source by plain GET, with a Range where not all is asked for."""

    def __init__(self, session: HttpSession) -> None:
        self._session = session

    @staticmethod
    @asynccontextmanager
    async def open_session(
        appliance: str | None = None,
        *,
        opened: Callable[[], None] = lambda: None,
    ) -> AsyncIterator[HttpSession]:
        """No time limit of its own (the fetcher has the stall limit), nothing decoded on the way. Each
        request names the box that asks, so that one that comes back to it is known (RFC 8586). `opened`
        hears of each connection over plain HTTP."""
        headers = {"Accept-Encoding": "identity", "User-Agent": "sluice-appliance"}
        if appliance is not None:
            headers["CDN-Loop"] = appliance
        plain = PlainHttp(headers, opened=opened)
        try:
            async with aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=None),
                # How many are asked at a time is the fetcher's to bound.
                connector=aiohttp.TCPConnector(limit=0),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=_READ_BYTES,
                headers=headers,
            ) as encrypted:
                yield HttpSession(plain, encrypted)
        finally:
            plain.close()

    async def read(
        self,
        source: Source,
        wanted: ObjectHeader,
        start: int,
        end: int | None = None,
        *,
        etag: str | None = None,
        on_answer: Callable[[Answer], None] | None = None,
    ) -> AsyncIterator[Chunk]:
        """Bytes `start` up to before `end`, by default all, as they come; fewer where the source ends
        before, and nothing for a piece that comes before them. `etag`: what it must still be. Raises SourceFailed."""
        asked = Asked(start, wanted.size_bytes if end is None else end, wanted.size_bytes, etag)
        fault = FaultKind.UNAVAILABLE
        try:
            async with self._get(source.base_url + wanted.key, headers_for(asked)) as response:
                answer = judge(response.status, response.headers, asked)
                fault = FaultKind.TRUNCATED
                if on_answer is not None:
                    on_answer(answer)
                cut = Cut(asked, answer)
                while not cut.is_over and (data := await response.more(cut.at)):
                    # Nothing, where what came was not asked for: the source is not silent.
                    yield cut.keep(data)
        except (aiohttp.ClientError, EndedEarly, HeadMalformed, OSError, ValueError) as error:
            raise SourceFailed(fault, str(error) or type(error).__name__) from None

    def _get(
        self, url: str, headers: Mapping[str, str]
    ) -> AbstractAsyncContextManager["_Response"]:
        target = plain_target(url)
        if target is not None:
            return self._session.plain.get(target, headers)
        return _get_encrypted(self._session.encrypted, url, headers)


class _Response(Protocol):
    """Either client's. `more` gives nothing at the body's end; `at`: where what comes next stands."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    async def more(self, at: int) -> Chunk: ...


@asynccontextmanager
async def _get_encrypted(
    session: aiohttp.ClientSession, url: str, headers: Mapping[str, str]
) -> AsyncIterator["_EncryptedResponse"]:
    async with session.get(url, headers=headers, allow_redirects=False) as response:
        yield _EncryptedResponse(response)


class _EncryptedResponse:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._content = response.content

    async def more(self, at: int) -> bytes:
        return await self._content.readany()
