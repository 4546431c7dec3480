"""Processes: stopping when told, and keeping children alive.

A child stands in a process group of its own, so that Ctrl-C reaches only its keeper, and dies with
its keeper even if that is killed (PR_SET_PDEATHSIG).
"""

import asyncio
import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_KEEPER_PID = "SLUICE_KEEPER_PID"


def die_with_keeper() -> None:
    """A kept child calls this first: the kernel kills it when its keeper dies. A no-op for others."""
    keeper = os.environ.get(_KEEPER_PID)
    if keeper is None:
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(keeper):
        # The keeper died between our start and the call above.
        os._exit(1)


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """An event that SIGINT and SIGTERM set while the block runs."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a child is started again: doubling, bounded, forgotten after a calm run."""

    initial_s: float = 0.5
    longest_s: float = 30.0
    calm_s: float = 60.0

    def delay_s(self, failures: int) -> float:
        """The wait after `failures` short runs in a row; `failures` counts from 1."""
        return min(self.longest_s, self.initial_s * 2.0 ** min(failures - 1, 32))

    def failures_after(self, ran_s: float, failures: int) -> int:
        """How many short runs in a row there are after one that lasted `ran_s`."""
        return 1 if ran_s >= self.calm_s else failures + 1


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A child to keep alive."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    # Where its standard output and error are appended; inherited when None.
    log_path: Path | None = None
    pass_fds: tuple[int, ...] = ()
    # Where it may run; where its keeper may when None.
    cores: frozenset[int] | None = None
    # From SIGTERM to SIGKILL.
    stop_timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Started:
    name: str
    pid: int


@dataclass(frozen=True, slots=True)
class Exited:
    name: str
    pid: int
    # As subprocess says it: negative for a signal.
    returncode: int
    ran_s: float
    restart_in_s: float


class Keeper:
    """Runs one child and starts it again whenever it ends, until it is retired or `run` is cancelled."""

    def __init__(
        self,
        spec: ProcessSpec,
        *,
        backoff: Backoff,
        clock: Callable[[], float],
        on_event: Callable[[Started | Exited], None],
    ) -> None:
        self.spec = spec
        self.pid: int | None = None
        self.restarts = 0
        self._backoff = backoff
        self._clock = clock
        self._on_event = on_event
        self._retired = asyncio.Event()
        self._farewell: signal.Signals | None = None
        # Of the thread that starts children, for as long as it is not lent to one.
        self._own_cores = os.sched_getaffinity(0)

    def retire(self, number: signal.Signals) -> None:
        """Tells the child once, by a signal, to end in its own time; `run` returns when it has ended."""
        self._farewell = number
        self._retired.set()
        if self.pid is not None:
            _signal_group(self.pid, number, only_leader=True)

    async def run(self) -> None:
        _heed_farewells()
        failures = 0
        while not self._retired.is_set():
            started_at = self._clock()
            process = await self._start()
            self.pid = process.pid
            self._on_event(Started(self.spec.name, process.pid))
            if self._farewell is not None:
                # It was said while the child was being started.
                _signal_group(process.pid, self._farewell, only_leader=True)
            try:
                returncode = await process.wait()
            except asyncio.CancelledError:
                await self._stop(process)
                raise
            finally:
                self.pid = None
            _signal_group(process.pid, signal.SIGKILL)
            if self._retired.is_set():
                return
            ran_s = self._clock() - started_at
            failures = self._backoff.failures_after(ran_s, failures)
            delay_s = self._backoff.delay_s(failures)
            self.restarts += 1
            self._on_event(Exited(self.spec.name, process.pid, returncode, ran_s, delay_s))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._retired.wait(), delay_s)

    async def _start(self) -> asyncio.subprocess.Process:
        log = None if self.spec.log_path is None else self.spec.log_path.open("ab")
        try:
            if self.spec.cores is not None:
                # A child runs where its parent does, with all its threads, from the first on.
                os.sched_setaffinity(0, self.spec.cores)
            return await asyncio.create_subprocess_exec(
                *self.spec.argv,
                env={**os.environ, **self.spec.env, _KEEPER_PID: str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=self.spec.pass_fds,
                process_group=0,
            )
        finally:
            if self.spec.cores is not None:
                os.sched_setaffinity(0, self._own_cores)
            if log is not None:
                log.close()

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        _signal_group(process.pid, signal.SIGTERM, only_leader=True)
        try:
            async with asyncio.timeout(self.spec.stop_timeout_s):
                await process.wait()
        except TimeoutError:
            pass
        finally:
            _signal_group(process.pid, signal.SIGKILL)
            await process.wait()


def _heed_farewells() -> None:
    """A shell has what it starts in the background ignore SIGQUIT, and children inherit that: one that is
    told to leave before it listens would stay."""
    if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
        with suppress(ValueError):  # only the main thread may, and there keepers run
            signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def _signal_group(pid: int, number: signal.Signals, *, only_leader: bool = False) -> None:
    try:
        if only_leader:
            os.kill(pid, number)
        else:
            os.killpg(pid, number)
    except ProcessLookupError:
        pass
