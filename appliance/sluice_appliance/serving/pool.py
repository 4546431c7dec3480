"""A pool of serving workers behind one address: bound here, kept alive here, counted here.

Each worker has a listening socket of its own on the same address (SO_REUSEPORT: the kernel spreads
clients over them). The sockets belong to the pool: when a worker dies, those who knock meanwhile wait
in its queue for the one that takes its place, and are not refused.
"""

import asyncio
import json
import os
import socket
import sys
from contextlib import ExitStack
from dataclasses import asdict

from sluice_appliance.serving import tally
from sluice_appliance.serving.errors import AddressRefused
from sluice_appliance.serving.limits import Limits
from sluice_appliance.serving.ready import READY
from sluice_appliance.serving.tls import TlsFiles, server_context
from sluice_runtime.addresses import Address
from sluice_runtime.counters import SharedCounters
from sluice_runtime.lifecycle import Backoff, Exited, Keeper, ProcessSpec, Started
from sluice_runtime.logs import get_logger

log = get_logger(__name__)

# Unsent bytes beyond what the last-level cache holds are fetched from memory twice: at 4 MiB objects
# 256 KiB sends twice as much as the kernel's own choice (ARCHITECTURE.md, "Inside the appliance").
SEND_BUFFER_BYTES = 256 * 1024
# Clients that may wait for a worker to come back; the kernel's own limit (somaxconn) may be lower.
BACKLOG = 4096
# A lone death is mended at once; a worker that cannot start is tried again a few times a minute.
BACKOFF = Backoff(initial_s=0.05, longest_s=5.0, calm_s=10.0)


class ServingPool:
    """Serves the store at `store_root`, with `counters` from `metrics.serving_counters(workers)`.

    pool.bind()        # raises AddressRefused or TlsFilesRefused, before anything is started
    await pool.run()   # until cancelled
    """

    def __init__(
        self,
        store_root: str,
        listen: Address,
        workers: int,
        tls: TlsFiles | None,
        counters: SharedCounters,
        *,
        limits: Limits | None = None,
    ) -> None:
        self._root = store_root
        self._listen = listen
        self._workers = workers
        self._tls = tls
        self._counters = counters
        self._limits = limits or Limits()
        self._listeners: list[socket.socket] = []
        self._keepers: list[Keeper] = []
        self._ready: set[int] = set()
        self._accepting = asyncio.Event()

    @property
    def address(self) -> Address:
        """Where it is bound; the port is the system's choice where 0 was asked for."""
        host, port, *_ = self._listeners[0].getsockname()
        return Address(host, port)

    @property
    def restarts(self) -> int:
        return sum(keeper.restarts for keeper in self._keepers)

    def worker_pids(self) -> list[int]:
        """The processes that serve now."""
        return [keeper.pid for keeper in self._keepers if keeper.pid is not None]

    def accepting(self) -> bool:
        """Whether a worker is there to answer."""
        return any(keeper.pid in self._ready for keeper in self._keepers)

    async def until_accepting(self) -> None:
        """Returns when the first worker has said that it is ready."""
        await self._accepting.wait()

    def bind(self) -> None:
        """Takes the address. Raises AddressRefused, or TlsFilesRefused for a pair that cannot serve."""
        if self._tls is not None:
            server_context(self._tls)
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
        reads, writes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        loop = asyncio.get_running_loop()
        loop.add_reader(reads, self._hear, reads)
        self._keepers = [
            Keeper(
                self._spec(row, listener, writes),
                backoff=BACKOFF,
                clock=loop.time,
                on_event=self._note,
            )
            for row, listener in enumerate(self._listeners)
        ]
        try:
            async with asyncio.TaskGroup() as tasks:
                for keeper in self._keepers:
                    tasks.create_task(keeper.run())
        finally:
            loop.remove_reader(reads)
            os.close(reads)
            os.close(writes)
            self.close()

    def close(self) -> None:
        """Gives the address back."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    def _hear(self, reads: int) -> None:
        """A worker's process id says that it accepts."""
        said = os.read(reads, 64 * READY.size)
        self._ready.update(pid for (pid,) in READY.iter_unpack(said))
        self._accepting.set()

    def _note(self, event: Started | Exited) -> None:
        match event:
            case Started():
                log.info("serving_worker_started", worker=event.name, pid=event.pid)
            case Exited():
                self._ready.discard(event.pid)
                self._counters.row(self._workers)[tally.WORKER_RESTARTS] += 1
                log.error(
                    "serving_worker_ended",
                    worker=event.name,
                    pid=event.pid,
                    returncode=event.returncode,
                    restart_in_s=event.restart_in_s,
                )

    def _spec(self, row: int, listener: socket.socket, ready: int) -> ProcessSpec:
        argv = [
            *(sys.executable, "-m", "sluice_appliance.serving.main"),
            *("--listener", str(listener.fileno())),
            *("--counters", str(self._counters.descriptor)),
            *("--row", str(row), "--rows", str(self._counters.rows)),
            *("--ready", str(ready)),
            *("--store", self._root),
            *("--limits", json.dumps(asdict(self._limits))),
        ]
        if self._tls is not None:
            argv += ["--tls-cert", str(self._tls.certificate), "--tls-key", str(self._tls.key)]
        return ProcessSpec(
            name=f"serving-{row}",
            argv=tuple(argv),
            pass_fds=(listener.fileno(), self._counters.descriptor, ready),
            stop_timeout_s=self._limits.drain_s + 5.0,
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
        # Inherited by what is accepted: no system call for each connection.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, port))
        if shared:
            listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener
