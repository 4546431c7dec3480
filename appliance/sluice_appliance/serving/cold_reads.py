"""Bytes that are not in memory: who may wait for a disk, and who is sent elsewhere.

`ReadAhead` reads, `ConcurrencyLimiter` says how many reads the disk bears; here they meet, for each disk
on its own: who waits for a slow or dying one takes no thread and no permit of another. A response that
has not begun is refused where either has enough, one that has begun waits on. Who asks for what is already
read for another costs the disk nothing, and needs no permit: a film that everybody wants at once is read once.
"""

from collections.abc import Callable, Iterable
from enum import Enum
from functools import partial
from typing import NamedTuple

from sluice_appliance.serving import tally
from sluice_appliance.serving.concurrency import ConcurrencyLimiter, Kind, Permit
from sluice_appliance.serving.disk_jobs import Waiting, Wake
from sluice_appliance.serving.objects import FILE_READ_WHOLE_MAX, Cold, Opened
from sluice_appliance.serving.pulled import PulledBody, PullWait
from sluice_appliance.serving.read_ahead import ReadAhead, Source
from sluice_appliance.serving.windows import NOTHING, Piece


class Shed(Enum):
    """Why a response is not begun."""

    DISK_BUSY = tally.SHED_DISK_BUSY
    QUEUE_FULL = tally.SHED_READ_AHEAD_FULL


class DiskReads(NamedTuple):
    """The reading of one disk by one worker."""

    ahead: ReadAhead
    limiter: ConcurrencyLimiter


class Pending:
    """One wait for a disk. It wakes once, unless it is cancelled."""

    __slots__ = ("_clock", "_disk", "_permit", "_wake", "waiting")

    def __init__(
        self, disk: DiskReads, permit: Permit | None, clock: Callable[[], float], wake: Wake
    ) -> None:
        self._disk = disk
        self._permit = permit
        self._clock = clock
        self._wake = wake
        self.waiting: Waiting | None = None

    def woken(self, error: Exception | None) -> None:
        self.waiting = None
        self._give_back(failed=error is not None)
        self._wake(error)

    def cancel(self) -> None:
        if self.waiting is not None:
            self._disk.ahead.cancel(self.waiting)
            self.waiting = None
            if self._permit is not None:
                self._disk.limiter.give_up(self._permit, self._clock())

    def _give_back(self, *, failed: bool) -> None:
        if self._permit is not None:
            self._disk.limiter.end(self._permit, self._clock(), dropped=failed)


class _Opening:
    """Opens an object in a thread, and brings the first bytes of its response along while the disk bears
    more reads: it is asked when a thread is there for it. Who is refused later has had nothing large read."""

    __slots__ = ("_clock", "_cold", "_disk", "_opened", "_permit", "_wanted")

    def __init__(
        self, disk: DiskReads, cold: Cold, wanted: Piece, clock: Callable[[], float]
    ) -> None:
        self._disk = disk
        self._cold = cold
        self._wanted = wanted
        self._clock = clock
        self._permit: Permit | None = None
        self._opened: Opened | None = None

    def begin(self) -> None:
        if self._wanted.length:
            self._permit = self._disk.limiter.try_begin(Kind.OPENING, self._clock())
            if self._permit is None:
                self._wanted = NOTHING

    def run(self) -> None:
        self._opened = self._cold.open(self._wanted)

    def land(self, error: Exception | None) -> None:
        self._give_back(error)
        if self._opened is not None:
            self._cold.opened(self._opened)

    def drop(self) -> None:
        pass

    def _give_back(self, error: Exception | None) -> None:
        limiter, permit, opened = self._disk.limiter, self._permit, self._opened
        if permit is None:
            return
        if opened is None and not isinstance(error, FileNotFoundError):
            limiter.end(permit, self._clock(), dropped=True)
        elif opened is not None and opened.found.brought.length > FILE_READ_WHOLE_MAX:
            limiter.end(permit, self._clock())
        else:
            # How long a small read takes says nothing of the large ones.
            limiter.give_up(permit, self._clock())


class ColdReads:
    """The reading of one worker: `make` is called for each of its disks, which are known by their roots."""

    def __init__(
        self, roots: Iterable[str], make: Callable[[], DiskReads], clock: Callable[[], float]
    ) -> None:
        self._disks = {root: make() for root in roots}
        self._clock = clock

    @property
    def waiting(self) -> int:
        """How many reads and openings no thread has taken yet."""
        return sum(disk.ahead.waiting for disk in self._disks.values())

    def reach(self, source: Source, offset: int, end: int, now: float) -> int:
        """Up to where the body may be sent from `offset`; `offset` where a disk must be read first, or
        it has to come from elsewhere."""
        if isinstance(source, PulledBody):
            return source.reach(offset, end)
        return self._disks[source.disk].ahead.reach(source, offset, end, now)

    def begin(self, source: Source, offset: int, end: int, wake: Wake) -> Pending | Shed:
        """For a response of which nothing was sent."""
        disk = self._disks[source.disk]
        permit = None
        if not disk.ahead.is_asked_for(source, offset, end):
            permit = disk.limiter.try_begin(Kind.OPENING, self._clock())
            if permit is None:
                return Shed.DISK_BUSY
        return self._wait(disk, permit, source, offset, end, wake, begun=False) or Shed.QUEUE_FULL

    def want(self, source: Source, offset: int, end: int, wake: Wake) -> Pending | PullWait | None:
        """For one that has begun; None where too many wait: ask again a little later."""
        if isinstance(source, PulledBody):
            return source.want(offset, end, wake, begun=True)
        disk = self._disks[source.disk]
        permit = None
        if not disk.ahead.is_asked_for(source, offset, end):
            permit = disk.limiter.try_begin(Kind.UNDER_WAY, self._clock())
        return self._wait(disk, permit, source, offset, end, wake, begun=True)

    def _wait(
        self,
        disk: DiskReads,
        permit: Permit | None,
        source: Source,
        offset: int,
        end: int,
        wake: Wake,
        *,
        begun: bool,
    ) -> Pending | None:
        """None, and the permit given back, where too many wait."""
        pending = Pending(disk, permit, self._clock, wake)
        pending.waiting = disk.ahead.want(source, offset, end, pending.woken, begun=begun)
        if pending.waiting is not None:
            return pending
        if permit is not None:
            disk.limiter.end(permit, self._clock(), dropped=True)
        return None

    def open(
        self, cold: Cold, wake: Wake, *, begun: bool = False, wanted: Piece = NOTHING
    ) -> Pending | Shed:
        """For a response whose object must be opened first, which begins with what is `wanted`."""
        disk = self._disks[cold.disk]
        pending = Pending(disk, None, self._clock, wake)
        make = partial(_Opening, disk, cold, wanted, self._clock)
        pending.waiting = disk.ahead.open(cold.path, make, pending.woken, begun=begun)
        return Shed.QUEUE_FULL if pending.waiting is None else pending

    def close(self) -> None:
        """Wakes nobody any more."""
        for disk in self._disks.values():
            disk.ahead.close()
