"""A serving worker: accepts clients, looks after them, and ends those that take too long."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate

from sluice_appliance.serving import tally
from sluice_appliance.serving.connection import Connection
from sluice_appliance.serving.limits import Limits
from sluice_appliance.serving.objects import OpenObjects
from sluice_appliance.serving.request import refuse
from sluice_appliance.serving.tls import Handshake
from sluice_appliance.serving.wire import PlainWire, Readiness

# How many clients are taken in one turn of the loop before those already here are looked after.
ACCEPTS_MAX = 64
# How often the date is renewed and slow connections are looked for. Limits are kept to within it.
TICK_S = 0.25
# Descriptors for what is neither a connection nor an object.
_SPARE_DESCRIPTORS = 64
# An object open has one descriptor, and one more where TLS maps it.
_DESCRIPTORS_PER_OBJECT = 2


class Worker:
    """Accepts, and looks after what was accepted, until told to stop."""

    def __init__(
        self,
        listener: socket.socket,
        root: str,
        row: "memoryview[int]",
        limits: Limits,
        context: ssl.SSLContext | None,
        loop: Readiness,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self.loop = loop
        self.row = row
        self.limits = limits
        self.objects = OpenObjects(root, limits.open_files, row)
        self.now = clock()
        self.draining = False
        self.tail = self.tail_close = self.tail_keep_alive = b""
        self._listener = listener
        self._context = context
        self._clock = clock
        self._wall_clock = wall_clock
        self._clients: set[Connection | Handshake] = set()
        self._emptied = asyncio.Event()
        self._renew_tails()

    async def run(self, stop: asyncio.Event) -> None:
        self._resume_accepting()
        try:
            async with asyncio.TaskGroup() as tasks:
                ticking = tasks.create_task(self._tick())
                await stop.wait()
                self._pause_accepting()
                await self._drain()
                ticking.cancel()
        finally:
            for client in list(self._clients):
                client.close()
            self.objects.close()
            self._listener.close()

    async def _drain(self) -> None:
        """Lets responses that were begun end, within bound."""
        self.draining = True
        for client in list(self._clients):
            client.check()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.limits.drain_s):
                while self._clients:
                    self._emptied.clear()
                    await self._emptied.wait()

    def gone(self, client: "Connection | Handshake") -> None:
        self._clients.discard(client)
        self.row[tally.CONNECTIONS_CLOSED] += 1
        if not self._clients:
            self._emptied.set()

    def secured(self, handshake: Handshake) -> None:
        """A handshake is done: what comes next on its wire is HTTP."""
        self._clients.discard(handshake)
        connection = Connection(self, handshake.wire)
        self._clients.add(connection)
        if handshake.wire.has_pending():
            connection.on_readable()

    # --- accepting --------------------------------------------------------------------------------

    def _accept(self) -> None:
        for _ in range(ACCEPTS_MAX):
            try:
                accepted, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._not_accepted(error)
                return
            self.row[tally.CONNECTIONS] += 1
            accepted.setblocking(False)
            if len(self._clients) >= self.limits.connections:
                self._turn_away(accepted)
            else:
                self._take(accepted)

    def _take(self, accepted: socket.socket) -> None:
        if self._context is None:
            self._clients.add(Connection(self, PlainWire(accepted)))
            return
        try:
            handshake = Handshake(self, accepted, self._context)
        except OSError:
            # The client left before the handshake began; the descriptor went with the wrapping.
            accepted.close()
            self.row[tally.TLS_FAILURES] += 1
            self.row[tally.CONNECTIONS_CLOSED] += 1
            return
        self._clients.add(handshake)
        handshake.advance()

    def _turn_away(self, accepted: socket.socket) -> None:
        self.row[tally.REFUSED_CONNECTIONS] += 1
        self.row[tally.CONNECTIONS_CLOSED] += 1
        if self._context is None:
            response = refuse(503, "too many connections here", fields=b"Retry-After: 1\r\n")
            self.row[tally.RESPONSES_5XX] += 1
            with suppress(OSError):
                accepted.send(response.head + self.tail_close + response.text)
        accepted.close()

    def _not_accepted(self, error: OSError) -> None:
        if error.errno == errno.ECONNABORTED:
            return
        # Out of descriptors or memory. The listener would stay readable: leave it until the next tick.
        self.row[tally.ACCEPT_FAILURES] += 1
        self._pause_accepting()

    def _resume_accepting(self) -> None:
        self.loop.add_reader(self._listener.fileno(), self._accept)

    def _pause_accepting(self) -> None:
        self.loop.remove_reader(self._listener.fileno())

    # --- the clock --------------------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.now = self._clock()
            self._renew_tails()
            for client in list(self._clients):
                client.check()
            if not self.draining:
                self._resume_accepting()

    def _renew_tails(self) -> None:
        date = b"Date: " + formatdate(self._wall_clock(), usegmt=True).encode() + b"\r\n"
        self.tail = date + b"\r\n"
        self.tail_close = date + b"Connection: close\r\n\r\n"
        self.tail_keep_alive = date + b"Connection: keep-alive\r\n\r\n"


def within_descriptors(limits: Limits, descriptors: int) -> Limits:
    """The same limits with no more connections and open files than `descriptors` allow."""
    files = min(limits.open_files, max(1, descriptors // 4 // _DESCRIPTORS_PER_OBJECT))
    left = descriptors - _SPARE_DESCRIPTORS - files * _DESCRIPTORS_PER_OBJECT
    fields = {name: getattr(limits, name) for name in Limits.__slots__}
    return Limits(
        **{**fields, "open_files": files, "connections": max(1, min(limits.connections, left))}
    )
