"""The daemon: owns the sockets, keeps the UDP workers alive, answers TCP, shows its counters.

Workers are separate programs that inherit a socket and a page of counters. The sockets stay open here,
so that what comes while a worker is started anew waits in the socket and is answered late, not lost.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path

from sluice_dns import metrics
from sluice_dns.exposition import registry
from sluice_dns.listening import AddressUnavailable, Listener, bind
from sluice_dns.map_file import LOOK_EVERY_S, MapFile
from sluice_dns.responder import Responder
from sluice_dns.steering_map import MapView
from sluice_dns.stream import StreamLimits, StreamServer
from sluice_dns.udp import address_of
from sluice_runtime import lifecycle
from sluice_runtime.addresses import Address
from sluice_runtime.counters import SharedCounters
from sluice_runtime.lifecycle import Backoff, Exited, Keeper, ProcessSpec, Started
from sluice_runtime.logs import get_logger
from sluice_runtime.metrics import serve_admin

log = get_logger(__name__)

# A dead worker is replaced at once; one that dies again and again is tried every 5 s.
_WORKER_BACKOFF = Backoff(initial_s=0.02, longest_s=5.0, calm_s=10.0)
_WORKER_STOP_TIMEOUT_S = 2.0
# How often it is asked whether the workers have started.
_READY_LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Settings:
    listen: tuple[Address, ...]
    workers: int
    admin: Address | None
    # The option or setting that changes it, for the message when its port is taken.
    admin_name: str
    listen_name: str
    map: Path
    # PEM file of the keys that sign maps; None believes any map.
    trust: Path | None
    server_id: str
    limits: StreamLimits


class Supervisor:
    def __init__(self, settings: Settings, maps: MapFile, counters: SharedCounters) -> None:
        self._settings = settings
        self._maps = maps
        self._counters = counters
        self.row = counters.row(counters.rows - 1)
        self._keepers: list[Keeper] = []
        self._responder = self._make_responder(maps.view)
        self._addresses: tuple[Address, ...] = ()

    async def run(
        self, clock: Callable[[], float], beside: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Answers until SIGTERM or SIGINT. `beside` runs with it. Raises AddressUnavailable."""
        with ExitStack() as sockets, lifecycle.stop_signals() as stop:
            listeners = self._bind(sockets)
            self._addresses = tuple(each.address for each in listeners)
            async with AsyncExitStack() as serving:
                await self._serve_admin(serving)
                self._take(self._maps.newer(clock()))
                streams = StreamServer(
                    lambda: self._responder, limits=self._settings.limits, row=self.row
                )
                for listener in listeners:
                    await serving.enter_async_context(streams.serving(listener.stream))
                self._keepers = self._make_keepers(listeners, clock)
                jobs = [keeper.run for keeper in self._keepers]
                await _until(
                    stop, [*jobs, lambda: self._look(clock), self._announce, *_some(beside)]
                )

    def _bind(self, closing: ExitStack) -> list[Listener]:
        settings = self._settings
        try:
            return [
                bind(each, workers=settings.workers, closing=closing) for each in settings.listen
            ]
        except AddressUnavailable as error:
            raise AddressUnavailable(f"{error}; change it with {settings.listen_name}") from None

    async def _serve_admin(self, serving: AsyncExitStack) -> None:
        admin = self._settings.admin
        if admin is None:
            return
        shown = registry(self._counters, lambda: self._maps.view)
        try:
            await serving.enter_async_context(
                serve_admin(admin.host, admin.port, shown, self.health)
            )
        except OSError as error:
            reason = error.strerror or str(error)
            raise AddressUnavailable(
                f"cannot listen on {admin}: {reason}; change it with {self._settings.admin_name}"
            ) from None

    def _make_keepers(
        self, listeners: Sequence[Listener], clock: Callable[[], float]
    ) -> list[Keeper]:
        sockets = [each for listener in listeners for each in listener.datagrams]
        return [
            Keeper(
                self._worker(f"udp-{row}", row, socket.fileno()),
                backoff=_WORKER_BACKOFF,
                clock=clock,
                on_event=_say,
            )
            for row, socket in enumerate(sockets)
        ]

    def _worker(self, name: str, row: int, descriptor: int) -> ProcessSpec:
        settings = self._settings
        argv = [sys.executable, "-m", "sluice_dns.main", "worker"]
        argv += ["--socket", str(descriptor), "--map", str(settings.map)]
        argv += ["--counters", str(self._counters.descriptor)]
        argv += ["--rows", str(self._counters.rows), "--row", str(row)]
        argv += [f"--server-id={settings.server_id}"]
        argv += ["--trust", str(settings.trust)] if settings.trust else []
        return ProcessSpec(
            name,
            tuple(argv),
            pass_fds=(descriptor, self._counters.descriptor),
            stop_timeout_s=_WORKER_STOP_TIMEOUT_S,
        )

    def _make_responder(self, view: MapView | None) -> Responder:
        server_id = self._settings.server_id
        return Responder(view, server_id=server_id, row=self.row, address_of=address_of)

    def _take(self, view: MapView | None) -> None:
        if view is not None:
            self._responder = self._make_responder(view)

    async def _look(self, clock: Callable[[], float]) -> None:
        while True:
            self._take(self._maps.newer(clock()))
            await asyncio.sleep(LOOK_EVERY_S)

    async def _announce(self) -> None:
        """One line for each address when the workers answer from a map."""
        # Other processes count these, so no Event can tell.
        while (view := self._maps.view) is None or not self._workers_have_maps():  # noqa: ASYNC110
            await asyncio.sleep(_READY_LOOK_S)
        zone = b".".join(view.zone).decode()
        for address in self._addresses:
            print(f"answering {address} zone {zone} revision {view.revision}", flush=True)  # noqa: T201 - the line that callers wait for

    def _workers_have_maps(self) -> bool:
        rows = range(self._counters.rows - 1)
        return all(self._counters.row(each)[metrics.MAP_LOADED] for each in rows)

    def health(self) -> tuple[bool, Mapping[str, object]]:
        view = self._maps.view
        running = sum(keeper.pid is not None for keeper in self._keepers)
        facts: dict[str, object] = {
            "zone": None if view is None else b".".join(view.zone).decode(),
            "map_revision": 0 if view is None else view.revision,
            "map_refusal": self._maps.refusal,
            "listen": [str(address) for address in self._addresses],
            "workers": len(self._keepers),
            "workers_running": running,
            "worker_pids": [keeper.pid for keeper in self._keepers],
        }
        return view is not None and running == len(self._keepers), facts


async def _until(stop: asyncio.Event, jobs: Sequence[Callable[[], Awaitable[None]]]) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_await(job)) for job in jobs]
        await stop.wait()
        for task in tasks:
            task.cancel()


async def _await(job: Callable[[], Awaitable[None]]) -> None:
    await job()


def _some(
    job: Callable[[], Awaitable[None]] | None,
) -> list[Callable[[], Awaitable[None]]]:
    return [] if job is None else [job]


def _say(event: Started | Exited) -> None:
    match event:
        case Started(name, pid):
            log.info("worker_started", worker=name, pid=pid)
        case Exited(name, pid, returncode, ran_s, restart_in_s):
            log.error(
                "worker_died",
                worker=name,
                pid=pid,
                returncode=returncode,
                ran_s=round(ran_s, 3),
                restart_in_s=restart_in_s,
            )
