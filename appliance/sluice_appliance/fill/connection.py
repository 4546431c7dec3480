"""One connection to a source over plain TCP: a thread takes 2 MiB from the kernel in one system call.

The event loop waits until the socket has something; then a thread takes all that comes within 20 ms, up to the
end of a block, straight into the bytes that are written to disk. For 2 MiB of a fast source that is one
`recv` and one hop to a thread, with no copy in between, into memory that was used before: where it
is new each time, its page faults are 7 % of all that is below.

A MiB from loopback to an object on tmpfs takes 2.4 to 2.7 ms of CPU beside other load: SHA-256 0.7, `pwrite` of new
pages 0.6, BLAKE3 0.3, the event loop 0.3, reading back for the SHA-256 0.2, `recv` 0.2, Python the rest. The two
digests alone, of memory, take 0.7 and 0.3 there.
"""

import asyncio
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Self

from aiohappyeyeballs import start_connection

from sluice_appliance.fill.response_head import END_OF_HEAD, HEAD_BYTES_MAX, HeadMalformed

# How long a thread waits for a block to be whole: a slow source costs fifty hops a second, not thousands.
_TAKE_S = 0.02
_TAKE_TIMEOUT = struct.pack("ll", 0, int(_TAKE_S * 1e6))
# The next address of a name is tried beside the first after so long (RFC 8305, 5).
_NEXT_ADDRESS_S = 0.25
_PEEK_BYTES = 16 * 1024


class EndedEarly(Exception):
    """The connection ended before the response did."""


class NeverAnswered(EndedEarly):
    """It ended before the response began: the source had closed it, if it was kept from an earlier one."""


class Endpoint(NamedTuple):
    host: str
    port: int


class Connection:
    """Its socket blocks, so that the kernel waits for a whole block, but it is read only when it has
    something, or most likely has, and for 20 ms. One user at a time."""

    def __init__(
        self, endpoint: Endpoint, connected: socket.socket, receivers: ThreadPoolExecutor
    ) -> None:
        self.endpoint = endpoint
        self._socket = connected
        self._receivers = receivers
        # Whether the last bytes were as many as were asked for: then more are there, most likely.
        self._flows = False

    @classmethod
    async def open(cls, endpoint: Endpoint, receivers: ThreadPoolExecutor) -> Self:
        """Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(*endpoint, type=socket.SOCK_STREAM)
        connected = await start_connection(found, happy_eyeballs_delay=_NEXT_ADDRESS_S)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TAKE_TIMEOUT)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(endpoint, connected, receivers)

    def close(self) -> None:
        self._socket.close()

    def is_silent(self) -> bool:
        """Whether it is open, and nothing came that nobody asked for."""
        try:
            self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    async def send(self, request: bytes) -> None:
        """Raises NeverAnswered, OSError."""
        self._socket.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_sendall(self._socket, request)
        except (ConnectionResetError, BrokenPipeError) as error:
            raise NeverAnswered(str(error)) from None
        self._socket.setblocking(True)
        self._flows = False

    async def head(self) -> bytes:
        """Takes a head, and nothing of what follows. Raises OSError, EndedEarly, HeadMalformed."""
        head = b""
        while len(head) < HEAD_BYTES_MAX:
            seen = await self._peek()
            if not seen and not head:
                raise NeverAnswered("the connection ended before the response began")
            if not seen:
                raise EndedEarly(f"the connection ended {len(head)} bytes into the response's head")
            whole_bytes = (head + seen).find(END_OF_HEAD) + len(END_OF_HEAD)
            is_whole = whole_bytes >= len(END_OF_HEAD)
            head += self._socket.recv(whole_bytes - len(head) if is_whole else len(seen))
            if is_whole:
                return head
        raise HeadMalformed(f"the response's head has {len(head)} bytes and no end")

    async def receive(self, room: memoryview) -> int:
        """How many bytes came: at least one, 0 where the connection has ended. Raises OSError."""
        while True:
            if not self._flows:
                await self._until_readable()
            came_bytes = await self._take_in_thread(room)
            self._flows = came_bytes == len(room)
            if came_bytes is not None:
                return came_bytes

    async def _peek(self) -> bytes:
        await self._until_readable()
        try:
            return self._socket.recv(_PEEK_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except ConnectionResetError:
            return b""

    async def _until_readable(self) -> None:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._socket, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(self._socket)

    async def _take_in_thread(self, room: memoryview) -> int | None:
        """A cancelled caller waits for the thread: what somebody reads from is not closed, and where he
        reads it to is not another's."""
        loop = asyncio.get_running_loop()
        taking = loop.run_in_executor(self._receivers, self._take, room)
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            while not taking.done():
                try:
                    await asyncio.wait([taking])
                except asyncio.CancelledError:
                    continue
            if not taking.cancelled():
                # Looked at, so that nobody says that it was not.
                taking.exception()
            raise

    def _take(self, room: memoryview) -> int | None:
        """None where nothing came in the time."""
        try:
            return self._socket.recv_into(room, len(room), socket.MSG_WAITALL)
        except BlockingIOError:
            return None
