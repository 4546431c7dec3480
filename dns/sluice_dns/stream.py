"""DNS over TCP (RFC 7766): for answers that did not fit, and for resolvers that prefer it.

Queries of one connection are answered in the order they come; a client may send the next before the
answer to the last.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sluice_dns import metrics
from sluice_dns.metrics import Row
from sluice_dns.responder import Responder
from sluice_runtime.logs import get_logger

log = get_logger(__name__)

# What a connection may hold of unread bytes; a query has at most 65,535.
_READ_BUFFER_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class StreamLimits:
    connections_max: int
    connections_per_address_max: int
    # For the whole of a query to come, and for an answer to be taken.
    idle_timeout_s: float


class StreamServer:
    def __init__(
        self,
        responder: Callable[[], Responder],
        *,
        limits: StreamLimits,
        row: Row,
    ) -> None:
        self._responder = responder
        self._limits = limits
        self._row = row
        self._by_address: Counter[str] = Counter()
        self._open: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def serving(self, listener: socket.socket) -> AsyncIterator[None]:
        """Answers on `listener` while the block runs."""
        server = await asyncio.start_server(self._accept, sock=listener, limit=_READ_BUFFER_BYTES)
        try:
            yield
        finally:
            server.close()
            for writer in tuple(self._open):
                writer.transport.abort()
            await server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        host = peer[0] if peer else ""
        if refusal := self._refusal(host):
            self._row[refusal] += 1
            writer.transport.abort()
            return
        self._row[metrics.CONNECTIONS_ACCEPTED] += 1
        self._open.add(writer)
        self._by_address[host] += 1
        try:
            await self._converse(reader, writer, host)
        except TimeoutError:
            self._row[metrics.CONNECTIONS_TIMED_OUT] += 1
        except (asyncio.IncompleteReadError, OSError):
            # The client left; it may.
            pass
        finally:
            self._open.discard(writer)
            self._by_address[host] -= 1
            if not self._by_address[host]:
                del self._by_address[host]
            writer.transport.abort() if writer.transport.is_closing() else writer.close()

    def _refusal(self, host: str) -> int | None:
        if not host:
            return metrics.CONNECTIONS_REFUSED_TOTAL
        if len(self._open) >= self._limits.connections_max:
            return metrics.CONNECTIONS_REFUSED_TOTAL
        if self._by_address[host] >= self._limits.connections_per_address_max:
            return metrics.CONNECTIONS_REFUSED_ADDRESS
        return None

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str
    ) -> None:
        while True:
            async with asyncio.timeout(self._limits.idle_timeout_s):
                length = int.from_bytes(await reader.readexactly(2))
                data = await reader.readexactly(length)
            reply = self._reply(data, host)
            if reply is None:
                # RFC 7766 has no way to say nothing: what is not a query ends the connection.
                return
            writer.write(len(reply).to_bytes(2) + reply)
            async with asyncio.timeout(self._limits.idle_timeout_s):
                await writer.drain()

    def _reply(self, data: bytes, host: str) -> bytes | None:
        responder = self._responder()
        try:
            return responder.over_stream(data, host)
        except Exception as error:
            log.error("query_failed", query=data.hex(), error=repr(error), exc_info=error)
            return responder.fail(data)
