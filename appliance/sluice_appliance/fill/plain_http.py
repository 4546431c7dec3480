"""GET over plain HTTP/1.1, for bodies of gigabytes; connections are kept for the next piece of a source.

A body is cut into pieces that end where the object's blocks do. What is encrypted is left to aiohttp.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple
from urllib.parse import urlsplit

from sluice_appliance.fill.connection import Connection, EndedEarly, Endpoint, NeverAnswered
from sluice_appliance.fill.response_head import (
    END_OF_HEAD,
    HEAD_BYTES_MAX,
    Chunks,
    HeadMalformed,
    ResponseHead,
    parse_head,
)
from sluice_appliance.fill.sources import Chunk
from sluice_appliance.store.layout import BLOCK_BYTES
from sluice_runtime.background import background_threads

# Taken and written at a time: beyond, the hop to a thread is no cost any more, and bursts are longer.
_TAKE_BYTES = 2 * BLOCK_BYTES
# Threads that take bytes, all sources together; where all are taken, bytes wait in the kernel.
_RECEIVERS_MAX = 8
# One that waits for a core while its bytes are there would look like a source that is silent.
_RECEIVERS_NICE = 0
# Memory that bytes are taken into, kept for the next response; beyond, it is let go of.
_ROOMS_MAX = 16
# Kept for the next request; the one that was used longest ago is closed for one more.
_IDLE_MAX = 64
# Servers close what idles for longer: ours after 60 s, some after 15.
_IDLE_S = 10.0


class Target(NamedTuple):
    """Where a URL leads."""

    endpoint: Endpoint
    # As both stand in a request.
    authority: str
    path: str


def plain_target(url: str) -> Target | None:
    """None for a URL that is not for this client: another scheme, a user's name, what needs encoding.
    Raises ValueError for what is no URL."""
    parts = urlsplit(url)
    is_visible = all("!" <= char <= "~" for char in url)
    if parts.scheme != "http" or not parts.hostname or "@" in parts.netloc or not is_visible:
        return None
    path = parts._replace(scheme="", netloc="", fragment="").geturl()
    return Target(Endpoint(parts.hostname, parts.port or 80), parts.netloc, path or "/")


class PlainHttp:
    """Belongs to one event loop; `close` it there. `headers` go with every request; `opened` hears of each
    connection."""

    def __init__(
        self,
        headers: Mapping[str, str],
        *,
        opened: Callable[[], None] = lambda: None,
    ) -> None:
        self._headers = headers
        self._opened = opened
        # With when each was used last.
        self._idle: deque[tuple[float, Connection]] = deque()
        self._rooms: list[memoryview] = []
        self._receivers = background_threads("fill-receive", _RECEIVERS_MAX, nice=_RECEIVERS_NICE)

    def close(self) -> None:
        while self._idle:
            self._idle.pop()[1].close()
        self._receivers.shutdown()

    @asynccontextmanager
    async def get(
        self, target: Target, headers: Mapping[str, str]
    ) -> AsyncIterator["PlainResponse"]:
        """The response, its body unread. Raises OSError, HeadMalformed, EndedEarly."""
        lines = [f"GET {target.path} HTTP/1.1", f"Host: {target.authority}"]
        lines += [f"{name}: {value}" for name, value in {**self._headers, **headers}.items()]
        response = await self._ask(target, "\r\n".join(lines).encode("latin-1") + END_OF_HEAD)
        try:
            yield response
        finally:
            if len(self._rooms) < _ROOMS_MAX:
                self._rooms.append(response.room)
            if response.leaves_connection:
                self._keep(response.connection)
            else:
                response.connection.close()

    async def _ask(self, target: Target, request: bytes) -> "PlainResponse":
        """A source may close an idle connection just as it is used: then a new one is (RFC 9112, 9.3.1)."""
        kept = self._take_idle(target.endpoint)
        if kept is not None:
            with suppress(NeverAnswered):
                return await self._answer(kept, request)
        connection = await Connection.open(target.endpoint, self._receivers)
        self._opened()
        return await self._answer(connection, request)

    async def _answer(self, connection: Connection, request: bytes) -> "PlainResponse":
        raw, head = await _exchange(connection, request)
        room = self._rooms.pop() if self._rooms else memoryview(bytearray(_TAKE_BYTES))
        return PlainResponse(connection, head, raw, room)

    def _take_idle(self, endpoint: Endpoint) -> Connection | None:
        oldest = _now() - _IDLE_S
        while self._idle and self._idle[0][0] < oldest:
            self._idle.popleft()[1].close()
        for entry in reversed(self._idle):
            if entry[1].endpoint == endpoint:
                self._idle.remove(entry)
                if entry[1].is_silent():
                    return entry[1]
                entry[1].close()
                return None
        return None

    def _keep(self, connection: Connection) -> None:
        self._idle.append((_now(), connection))
        if len(self._idle) > _IDLE_MAX:
            self._idle.popleft()[1].close()


class PlainResponse:
    """Ask `more` until it gives nothing."""

    def __init__(
        self, connection: Connection, head: ResponseHead, raw_head: bytes, room: memoryview
    ) -> None:
        """`room`: where its body comes to, piece by piece."""
        self.connection = connection
        self.room = room
        self.status = head.status
        self.headers = head.headers
        self._keeps_alive = head.keeps_alive
        # None where the length is not told.
        self._left_bytes = head.body_bytes
        self._chunks = Chunks(raw_head) if head.is_chunked else None

    @property
    def leaves_connection(self) -> bool:
        """Whether the next request may follow: all of the body was read, and its length was told."""
        return self._keeps_alive and self._left_bytes == 0

    async def more(self, at: int) -> Chunk:
        """The next bytes of the body, up to the end of a block where so many come; nothing at its end.
        They are good until more is asked for. `at`: where they stand in the object.
        Raises OSError, EndedEarly, HeadMalformed."""
        if self._left_bytes == 0:
            return b""
        if self._chunks is not None:
            return await self._more_of(self._chunks)
        most = BLOCK_BYTES - at % BLOCK_BYTES if at % BLOCK_BYTES else _TAKE_BYTES
        if self._left_bytes is None:
            return await self._receive(most)
        data = await self._receive(min(most, self._left_bytes))
        if not data:
            raise EndedEarly(f"the connection ended {self._left_bytes} bytes before the body")
        self._left_bytes -= len(data)
        return data

    async def _more_of(self, chunks: Chunks) -> bytes:
        while not chunks.is_over:
            data = await self._receive(_TAKE_BYTES)
            if not data:
                raise EndedEarly("the connection ended before the last chunk")
            body = chunks.feed(data)
            if body:
                return body
        return b""

    async def _receive(self, most: int) -> memoryview:
        return self.room[: await self.connection.receive(self.room[:most])]


async def _exchange(connection: Connection, request: bytes) -> tuple[bytes, ResponseHead]:
    try:
        await connection.send(request)
        seen_bytes = 0
        while seen_bytes < HEAD_BYTES_MAX:
            raw = await connection.head()
            head = parse_head(raw)
            if not head.is_informational:
                return raw, head
            seen_bytes += len(raw)
        raise HeadMalformed(f"{seen_bytes} bytes of informational heads and no other")
    except BaseException:
        connection.close()
        raise


def _now() -> float:
    return asyncio.get_running_loop().time()
