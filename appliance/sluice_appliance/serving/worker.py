"""A serving worker: accepts clients, looks after them, and ends those that take too long."""

import asyncio
import errno
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from select import EPOLLIN, EPOLLOUT
from typing import TYPE_CHECKING

from sluice_appliance.serving import tally
from sluice_appliance.serving.answering import Answerer
from sluice_appliance.serving.answers import refuse
from sluice_appliance.serving.cache_status import Outcome, cache_status_field
from sluice_appliance.serving.clients import ClientTable
from sluice_appliance.serving.cold_reads import ColdReads, DiskReads
from sluice_appliance.serving.concurrency import ConcurrencyLimiter
from sluice_appliance.serving.connection import Connection
from sluice_appliance.serving.events import Loop, Poller
from sluice_appliance.serving.host import Client, Tails
from sluice_appliance.serving.hot import Hot
from sluice_appliance.serving.limits import Limits
from sluice_appliance.serving.memo import HeadMemo
from sluice_appliance.serving.objects import OpenObjects
from sluice_appliance.serving.popularity import WorkerTable
from sluice_appliance.serving.pulls import Pulls
from sluice_appliance.serving.read_ahead import ReadAhead
from sluice_appliance.serving.residency import Residency
from sluice_appliance.serving.settings import ServingSettings
from sluice_appliance.serving.slowness import is_crowded
from sluice_appliance.serving.spoilt import Tell
from sluice_appliance.serving.tcp_path import accept
from sluice_appliance.serving.telling import Teller
from sluice_appliance.serving.tokens.gate import Gate, Policy
from sluice_appliance.serving.tokens.key_file import KeyFile
from sluice_appliance.serving.tokens.keys import KeySet, KeysRefused
from sluice_appliance.serving.wire import PlainWire

if TYPE_CHECKING:
    from sluice_appliance.serving.openssl import Context
    from sluice_appliance.serving.tls import Handshake

# How many clients are taken in one turn of the loop before those already here are looked after.
ACCEPTS_MAX = 64
# How often the date is renewed and slow connections are looked for. Limits are kept to within it, or to
# within a few of it where there are more connections than are looked at in one: 1 us each.
TICK_S = 0.25
CHECKS_MAX = 2000
# How often the keys of sessions and of tokens are looked at.
_KEYS_LOOK_S = 1.0
# Descriptors for what is neither a connection nor an object.
_SPARE_DESCRIPTORS = 64
# An object open has one descriptor, and one more where it is mapped.
_DESCRIPTORS_PER_OBJECT = 2


class Worker:
    """Accepts, and looks after what was accepted, until told to stop."""

    def __init__(
        self,
        listener: socket.socket,
        settings: ServingSettings,
        row: "memoryview[int]",
        loop: asyncio.AbstractEventLoop,
        *,
        popularity: WorkerTable,
        teller: Teller | None,
        context: "Context | None",
        door: socket.socket | None = None,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        tell: Tell = lambda path, offset: True,
    ) -> None:
        self.row = row
        self.limits = settings.limits
        self.teller = teller
        self.clock = clock
        self.now = clock()
        self.draining = False
        self.crowded = False
        self.memo = HeadMemo()
        self.poller = Poller(loop, self._failed)
        self.tails: Mapping[Outcome, Tails] = {}
        self.hot_tails = Tails(b"", b"", b"")
        self.hot = Hot(row)
        residency = Residency()
        places = settings.places()

        def reads() -> DiskReads:
            ahead = ReadAhead(row, loop.call_soon_threadsafe, clock, residency=residency)
            return DiskReads(ahead, ConcurrencyLimiter(self.now))

        self.cold_reads = ColdReads((place.root for place in places), reads, clock)
        self.objects = OpenObjects(
            places,
            settings.limits.open_files,
            row,
            popularity,
            residency,
            tell=tell,
        )
        self.pulls = None if door is None else Pulls(door, loop, row, popularity, clock)
        self._keys = KeyFile(Path(settings.token_keys)) if settings.token_keys else None
        self._keys_looked_at = self.now
        scheme = b"http" if context is None else b"https"
        gate = Gate(self._first_keys(), Policy(settings.tokens, scheme), row)
        self.answerer = Answerer(
            self.objects,
            self.cold_reads,
            row,
            cdn_id=settings.name.encode(),
            gate=gate,
            wall_clock=wall_clock,
            pulls=self.pulls,
        )
        self._loop: Loop = loop
        self._listener = listener
        self._family = int(listener.family)
        self._context = context
        self._wall_clock = wall_clock
        self._cache_status = {each: cache_status_field(settings.name, each) for each in Outcome}
        self._by_client = ClientTable(settings.limits.client_connections)
        self._clients: set[Client] = set()
        self._to_check: list[Client] = []
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
            self.hot.flush()
            self.cold_reads.close()
            self.objects.close()
            if self.pulls is not None:
                self.pulls.close()
            self.poller.close()
            self._listener.close()

    async def _drain(self) -> None:
        """Lets responses that were begun end, and clients learn that they should go, within bound."""
        self._begin_draining()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.limits.drain_s):
                while self._clients:
                    self._emptied.clear()
                    await self._emptied.wait()

    def _begin_draining(self) -> None:
        self.draining = self.answerer.draining = True
        # Those that are kept say that their clients may stay.
        self.hot.answers.clear()
        for client in list(self._clients):
            self._check(client)

    def gone(self, client: Client) -> None:
        self._clients.discard(client)
        self._by_client.gone(client.client)
        self.row[tally.CONNECTIONS_CLOSED] += 1
        if not self._clients:
            self._emptied.set()

    def secured(self, handshake: "Handshake") -> None:
        """A handshake is done: what comes next on its wire is HTTP."""
        self._clients.discard(handshake)
        connection = Connection(self, handshake.wire, handshake.client)
        self._clients.add(connection)
        # The first request may have come with the end of the handshake: no event tells of it any more.
        self.poller.tell(connection, EPOLLIN | EPOLLOUT)

    def _failed(self, error: Exception) -> None:
        """A connection met with a fault of ours and was closed."""
        self.row[tally.FAULTS] += 1
        asyncio.get_running_loop().call_exception_handler(
            {"message": "a connection was closed for a fault", "exception": error}
        )

    # --- accepting --------------------------------------------------------------------------------

    def _accept(self) -> None:
        for _ in range(ACCEPTS_MAX):
            try:
                accepted, address = accept(self._listener, self._family)
            except BlockingIOError:
                return
            except OSError as error:
                self._not_accepted(error)
                return
            self.row[tally.CONNECTIONS] += 1
            client: str = address[0]
            if len(self._clients) >= self.limits.connections:
                self._turn_away(accepted, tally.REFUSED_CONNECTIONS)
            elif not self._by_client.admit(client):
                self._turn_away(accepted, tally.REFUSED_CLIENT_CONNECTIONS)
            else:
                self._clients.add(self._take(accepted, client))

    def _take(self, accepted: socket.SocketType, client: str) -> Client:
        if self._context is None:
            return Connection(self, PlainWire(accepted), client)
        # Here, and found loaded from the second on: in the clear nobody waits for OpenSSL to load.
        from sluice_appliance.serving.tls import Handshake

        return Handshake(self, accepted, self._context, client)

    def _turn_away(self, accepted: socket.SocketType, cell: int) -> None:
        self.row[cell] += 1
        self.row[tally.CONNECTIONS_CLOSED] += 1
        if self._context is None:
            response = refuse(503, "too many connections here", fields=b"Retry-After: 1\r\n")
            self.row[tally.RESPONSES_5XX] += 1
            with suppress(OSError):
                tail = self.tails[Outcome.REFUSED].close
                accepted.send(response.head + tail + response.text)
        accepted.close()

    def _not_accepted(self, error: OSError) -> None:
        if error.errno == errno.ECONNABORTED:
            return
        # Out of descriptors or memory. The listener would stay readable: leave it until the next tick.
        self.row[tally.ACCEPT_FAILURES] += 1
        self._pause_accepting()

    def _resume_accepting(self) -> None:
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def _pause_accepting(self) -> None:
        self._loop.remove_reader(self._listener.fileno())

    # --- the clock --------------------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            due_at = self.clock() + TICK_S
            await asyncio.sleep(TICK_S)
            self.now = self.clock()
            self.row[tally.LOOP_LATE_US] += max(0, int((self.now - due_at) * 1e6))
            self.row[tally.DISK_QUEUE] += self.cold_reads.waiting
            self.crowded = is_crowded(len(self._clients), self.limits)
            self._renew_keys()
            self._renew_tails()
            self.hot.flush()
            if self.pulls is not None:
                self.pulls.tick(self.now)
            if self.teller is not None:
                self.teller.tick(self.now)
            self._check_some()
            if not self.draining:
                self._resume_accepting()

    def _check_some(self) -> None:
        """Ends those that take too long: everybody in turn, so that a crowd holds up nobody."""
        if not self._to_check:
            self._to_check = list(self._clients)
        for _ in range(min(CHECKS_MAX, len(self._to_check))):
            client = self._to_check.pop()
            if client in self._clients:
                self._check(client)

    def _check(self, client: Client) -> None:
        try:
            client.check()
        except Exception as error:
            client.close()
            self._failed(error)

    def _renew_tails(self) -> None:
        date = b"Date: " + formatdate(self._wall_clock(), usegmt=True).encode() + b"\r\n"
        self.tails = {
            outcome: Tails(
                date + status + b"\r\n",
                date + status + b"Connection: close\r\n\r\n",
                date + status + b"Connection: keep-alive\r\n\r\n",
            )
            for outcome, status in self._cache_status.items()
        }
        self.hot_tails = self.tails[Outcome.MEMORY]

    def _first_keys(self) -> KeySet:
        if self._keys is None or not self._keys.changed():
            return KeySet()
        try:
            return self._keys.load()
        except KeysRefused:
            self.row[tally.TOKEN_KEYS_REFUSED] += 1
            return KeySet()

    def _renew_keys(self) -> None:
        """Takes the keys of sessions, and those of tokens that the file has now; a file that is none
        changes nothing."""
        if self.now - self._keys_looked_at < _KEYS_LOOK_S:
            return
        self._keys_looked_at = self.now
        if self._context is not None:
            self._context.renew_ticket_keys()
        if self._keys is None or not self._keys.changed():
            return
        try:
            self.answerer.gate.renew(self._keys.load())
        except KeysRefused:
            self.row[tally.TOKEN_KEYS_REFUSED] += 1


def within_descriptors(limits: Limits, descriptors: int, *, pulled_blocks: int = 0) -> Limits:
    """The same limits with no more connections and open files than `descriptors` allow beside the blocks
    that are pulled."""
    descriptors -= pulled_blocks
    files = min(limits.open_files, max(1, descriptors // 4 // _DESCRIPTORS_PER_OBJECT))
    left = descriptors - _SPARE_DESCRIPTORS - files * _DESCRIPTORS_PER_OBJECT
    return replace(limits, open_files=files, connections=max(1, min(limits.connections, left)))
