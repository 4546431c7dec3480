"""A pool of serving workers behind one address: bound here, kept alive here, counted here.

Each worker has a listening socket of its own on the same address (SO_REUSEPORT: the kernel spreads
clients over them). The sockets belong to the pool: when a worker dies, those who knock meanwhile wait
in its queue for the one that takes its place, and are not refused. A worker is replaced the same way:
its successor accepts from the same queue before it is told to go, so that nobody is ever refused.
"""

import asyncio
import os
import socket
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace

from sluice_appliance.serving import tally
from sluice_appliance.serving.errors import AddressRefused, ServingRefused, WorkerNotReplaced
from sluice_appliance.serving.popularity import Popularity
from sluice_appliance.serving.ready import READY, RETIRE
from sluice_appliance.serving.settings import ServingSettings
from sluice_appliance.serving.suspicions import Suspect, hear, pair
from sluice_appliance.serving.tcp_path import bound_listener
from sluice_appliance.serving.ticket_keys import TicketKeys
from sluice_appliance.serving.tls import check_files
from sluice_appliance.store.disks import DiskPlace
from sluice_runtime.addresses import Address
from sluice_runtime.counters import SharedCounters
from sluice_runtime.lifecycle import Backoff, Exited, Keeper, ProcessSpec, Started
from sluice_runtime.logs import get_logger

log = get_logger(__name__)

# Clients that may wait for a worker to come back; the kernel's own limit (somaxconn) may be lower.
BACKLOG = 4096
# A lone death is mended at once; a worker that cannot start is tried again a few times a minute.
BACKOFF = Backoff(initial_s=0.05, longest_s=5.0, calm_s=10.0)
# How long a successor may take to accept; alone on its core it takes a quarter of a second.
READY_S = 15.0
# Beyond what a worker is allowed, before it is killed.
_STOP_MARGIN_S = 5.0


@dataclass(slots=True)
class _Place:
    """One worker's place: its socket, who serves there, and who served there before and still drains."""

    number: int
    listener: socket.socket
    keeper: Keeper
    keeping: asyncio.Task[None]
    # Even and odd ones count in rows of their own: a worker and its predecessor work side by side.
    generation: int = 0
    predecessor: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True)
class _Successor:
    """A worker that is to take a place and has not said yet that it accepts."""

    keeper: Keeper
    arrived: asyncio.Future[None]

    def arrives(self) -> None:
        if not self.arrived.done():
            self.arrived.set_result(None)

    def fails(self, reason: str) -> None:
        if not self.arrived.done():
            self.arrived.set_exception(WorkerNotReplaced(reason))


class ServingPool:
    """Serves a store, with `counters` from `metrics.serving_counters(workers)` and twice as many tables of
    popularity as workers.

    pool.bind()           # raises AddressRefused or TlsFilesRefused, before anything is started
    await pool.run()      # until cancelled
    await pool.replace()  # meanwhile: new workers with the files as they are now
    """

    def __init__(
        self,
        settings: ServingSettings,
        listen: Address,
        workers: int,
        counters: SharedCounters,
        popularity: Popularity,
        *,
        door: int = -1,
    ) -> None:
        """`door`: through which workers ask for what the box does not hold, if they may."""
        self._settings = settings
        self._door = door
        self._listen = listen
        self._workers = workers
        # Those of whoever makes the pool, who may keep off some of them later.
        self._cores = frozenset(os.sched_getaffinity(0))
        self._counters = counters
        self._popularity = popularity
        # Called for each copy of an object that its disk did not give.
        self.suspect: Suspect = lambda path, offset: None
        # Sealed with the same keys, a client's session resumes with whichever worker it meets.
        self._ticket_keys = TicketKeys.made()
        self._listeners: list[socket.socket] = []
        self._places: list[_Place] = []
        self._tasks = asyncio.TaskGroup()
        # Where workers write that they accept.
        self._ready_pipe = -1
        # Where they tell of copies that cannot be read.
        self._suspicions = -1
        self._ready: set[int] = set()
        self._accepting = asyncio.Event()
        # One place after the other, whoever asks.
        self._replacing = asyncio.Lock()
        self._successor: _Successor | None = None
        # Workers that ended by themselves; those that were replaced did not.
        self.restarts = 0
        # Told by an operator: it serves on, and says in its health that new clients should go elsewhere.
        self.draining = False

    @property
    def address(self) -> Address:
        """Where it is bound; the port is the system's choice where 0 was asked for."""
        host, port, *_ = self._listeners[0].getsockname()
        return Address(host, port)

    def worker_pids(self) -> list[int]:
        """The processes that accept now; those that were replaced and still drain are not among them."""
        return [place.keeper.pid for place in self._places if place.keeper.pid is not None]

    def accepting(self) -> bool:
        """Whether a worker is there to answer."""
        return any(place.keeper.pid in self._ready for place in self._places)

    def takes_clients(self) -> bool:
        """Whether new clients should come: not where nobody accepts, nor where an operator drains."""
        return self.accepting() and not self.draining

    async def until_accepting(self) -> None:
        """Returns when the first worker has said that it is ready."""
        await self._accepting.wait()

    def bind(self) -> None:
        """Takes the address. Raises AddressRefused, or TlsFilesRefused for a pair that cannot serve."""
        check_files(self._settings)
        host, port = self._listen.host, self._listen.port
        with ExitStack() as bound:
            try:
                # SO_REUSEPORT alone would let two pools share an address unawares.
                with _listener(host, port, shared=False) as probe:
                    port = probe.getsockname()[1]
                for _ in range(self._workers):
                    listener = bound.enter_context(_listener(host, port, shared=True))
                    self._listeners.append(listener)
            except OSError as error:
                self._listeners.clear()
                raise AddressRefused(f"{self._listen}: {error.strerror}") from None
            bound.pop_all()

    async def run(self) -> None:
        """Keeps the workers alive until cancelled, then lets them end what they began."""
        if not self._listeners:
            self.bind()
        reads, self._ready_pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        loop = asyncio.get_running_loop()
        loop.add_reader(reads, self._hear, reads)
        heard, told = pair()
        loop.add_reader(heard, hear, heard, self._note_suspicion)
        self._suspicions = told.fileno()
        try:
            async with self._tasks:
                for number, listener in enumerate(self._listeners):
                    keeper = self._keeper(number, listener, generation=0)
                    keeping = self._tasks.create_task(keeper.run())
                    self._places.append(_Place(number, listener, keeper, keeping))
                self._tasks.create_task(self._renew_ticket_keys())
        finally:
            loop.remove_reader(heard)
            heard.close()
            told.close()
            loop.remove_reader(reads)
            os.close(reads)
            os.close(self._ready_pipe)
            self.close()

    def close(self) -> None:
        """Gives the address back, and the keys of sessions up."""
        self._ticket_keys.close()
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    async def _renew_ticket_keys(self) -> None:
        while True:
            await asyncio.sleep(self._settings.limits.ticket_keys_s)
            self._ticket_keys.renew()

    # --- replacing --------------------------------------------------------------------------------

    async def replace(self) -> None:
        """New workers, one after the other; each begins before the one that it replaces ends.

        Raises TlsFilesRefused or WorkerNotReplaced; whoever was not replaced serves on.
        """
        async with self._replacing:
            try:
                check_files(self._settings)
                for place in self._places:
                    await self._replace(place)
            except ServingRefused:
                self._count(tally.WORKER_REPLACEMENTS_FAILED)
                raise

    async def look_on(self, disks: tuple[DiskPlace, ...]) -> None:
        """Objects are looked for on these disks from now on; see `replace`."""
        self._settings = replace(self._settings, disks=disks)
        await self.replace()

    async def _replace(self, place: _Place) -> None:
        if place.predecessor is not None:
            # Two at a time serve in one place: a third would count where the first still does.
            await asyncio.wait([place.predecessor])
        keeper = self._keeper(place.number, place.listener, place.generation + 1)
        arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._successor = _Successor(keeper, arrived)
        keeping = self._tasks.create_task(keeper.run())
        try:
            async with asyncio.timeout(READY_S):
                await arrived
        except BaseException as error:
            keeping.cancel()
            await asyncio.wait([keeping])
            if isinstance(error, TimeoutError):
                raise WorkerNotReplaced(
                    f"{keeper.spec.name} did not accept within {READY_S:g} s"
                ) from None
            raise
        finally:
            self._successor = None
        leaving = self._see_off(place.keeper, place.keeping)
        place.keeper, place.keeping = keeper, keeping
        place.generation += 1
        place.predecessor = self._tasks.create_task(leaving)
        self._count(tally.WORKER_REPLACEMENTS)

    async def _see_off(self, keeper: Keeper, keeping: "asyncio.Task[None]") -> None:
        """Lets a worker end what it serves, and ends it where it takes too long."""
        log.info("serving_worker_retires", worker=keeper.spec.name, pid=keeper.pid)
        keeper.retire(RETIRE)
        await asyncio.wait([keeping], timeout=self._settings.limits.retire_s + _STOP_MARGIN_S)
        keeping.cancel()

    # --- hearing of workers -----------------------------------------------------------------------

    def _hear(self, reads: int) -> None:
        """A worker's process id says that it accepts."""
        said = os.read(reads, 64 * READY.size)
        self._ready.update(pid for (pid,) in READY.iter_unpack(said))
        self._accepting.set()
        successor = self._successor
        if successor is not None and successor.keeper.pid in self._ready:
            successor.arrives()

    def _note(self, event: Started | Exited) -> None:
        match event:
            case Started():
                log.info("serving_worker_started", worker=event.name, pid=event.pid)
            case Exited():
                self._ready.discard(event.pid)
                successor = self._successor
                if successor is not None and successor.keeper.spec.name == event.name:
                    successor.fails(f"{event.name} ended with {event.returncode} at its start")
                    return
                self.restarts += 1
                self._count(tally.WORKER_RESTARTS)
                log.error(
                    "serving_worker_ended",
                    worker=event.name,
                    pid=event.pid,
                    returncode=event.returncode,
                    restart_in_s=event.restart_in_s,
                )

    def _note_suspicion(self, path: str, offset: int) -> None:
        log.warning("copy_spoilt", path=path, offset=offset)
        self.suspect(path, offset)

    def _count(self, cell: int) -> None:
        self._counters.row(self._counters.rows - 1)[cell] += 1

    def _keeper(self, number: int, listener: socket.socket, generation: int) -> Keeper:
        return Keeper(
            self._spec(number, listener, generation),
            backoff=BACKOFF,
            clock=asyncio.get_running_loop().time,
            on_event=self._note,
        )

    def _spec(self, number: int, listener: socket.socket, generation: int) -> ProcessSpec:
        inherited = {
            "listener": listener.fileno(),
            "counters": self._counters.descriptor,
            "popularity": self._popularity.descriptor,
            "ticket-keys": self._ticket_keys.descriptor,
            "ready": self._ready_pipe,
            "suspicions": self._suspicions,
        }
        if self._door >= 0:
            inherited["door"] = self._door
        row = number + self._workers * (generation % 2)
        argv = [sys.executable, "-m", "sluice_appliance.serving.main"]
        for name, descriptor in inherited.items():
            argv += [f"--{name}", str(descriptor)]
        argv += ["--row", str(row), "--rows", str(self._counters.rows)]
        argv += ["--settings", self._settings.to_json()]
        return ProcessSpec(
            name=f"serving-{number}.{generation}",
            argv=tuple(argv),
            pass_fds=tuple(inherited.values()),
            cores=self._cores,
            stop_timeout_s=self._settings.limits.drain_s + _STOP_MARGIN_S,
        )


def _listener(host: str, port: int, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound_listener(listener)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, port))
        if shared:
            listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener
