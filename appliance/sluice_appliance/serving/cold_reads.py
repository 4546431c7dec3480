"""Bytes that are not in memory: who may wait for a disk, and who is sent elsewhere.

`ReadAhead` reads, `ConcurrencyLimiter` says how many reads the disk bears; here they meet. A response
that has not begun is refused where either has enough, one that has begun waits on.
"""

from collections.abc import Callable
from enum import Enum
from typing import TypeVar

from sluice_appliance.serving import tally
from sluice_appliance.serving.concurrency import ConcurrencyLimiter, Kind, Permit
from sluice_appliance.serving.disk_jobs import Waiting, Wake
from sluice_appliance.serving.pulled import PulledBody, PullWait
from sluice_appliance.serving.read_ahead import ReadAhead, Source

T = TypeVar("T")


class Shed(Enum):
    """Why a response is not begun."""

    DISK_BUSY = tally.SHED_DISK_BUSY
    QUEUE_FULL = tally.SHED_READ_AHEAD_FULL


class Pending:
    """One wait for a disk. It wakes once, unless it is cancelled."""

    __slots__ = ("_permit", "_reads", "_wake", "waiting")

    def __init__(self, reads: "ColdReads", permit: Permit | None, wake: Wake) -> None:
        self._reads = reads
        self._permit = permit
        self._wake = wake
        self.waiting: Waiting | None = None

    def woken(self, error: Exception | None) -> None:
        self.waiting = None
        self._give_back(failed=error is not None)
        self._wake(error)

    def cancel(self) -> None:
        if self.waiting is not None:
            self._reads.ahead.cancel(self.waiting)
            self.waiting = None
            if self._permit is not None:
                self._reads.limiter.give_up(self._permit, self._reads.clock())

    def _give_back(self, *, failed: bool) -> None:
        if self._permit is not None:
            self._reads.limiter.end(self._permit, self._reads.clock(), dropped=failed)


class ColdReads:
    """The reading of one worker."""

    def __init__(
        self, ahead: ReadAhead, limiter: ConcurrencyLimiter, clock: Callable[[], float]
    ) -> None:
        self.ahead = ahead
        self.limiter = limiter
        self.clock = clock

    def reach(self, source: Source, offset: int, end: int, now: float) -> int:
        """Up to where the body may be sent from `offset`; `offset` where a disk must be read first, or
        it has to come from elsewhere."""
        if isinstance(source, PulledBody):
            return source.reach(offset, end)
        return self.ahead.reach(source, offset, end, now)

    def begin(self, source: Source, offset: int, end: int, wake: Wake) -> Pending | Shed:
        """For a response of which nothing was sent."""
        permit = self.limiter.try_begin(Kind.OPENING, self.clock())
        if permit is None:
            return Shed.DISK_BUSY
        pending = Pending(self, permit, wake)
        pending.waiting = self.ahead.want(source, offset, end, pending.woken, begun=False)
        if pending.waiting is None:
            self.limiter.end(permit, self.clock(), dropped=True)
            return Shed.QUEUE_FULL
        return pending

    def want(self, source: Source, offset: int, end: int, wake: Wake) -> Pending | PullWait | None:
        """For one that has begun; None where too many wait: ask again a little later."""
        if isinstance(source, PulledBody):
            return source.want(offset, end, wake, begun=True)
        permit = self.limiter.try_begin(Kind.UNDER_WAY, self.clock())
        pending = Pending(self, permit, wake)
        pending.waiting = self.ahead.want(source, offset, end, pending.woken, begun=True)
        if pending.waiting is None:
            if permit is not None:
                self.limiter.end(permit, self.clock(), dropped=True)
            return None
        return pending

    def open(
        self,
        path: str,
        opening: Callable[[], T],
        opened: Callable[[T], None],
        wake: Wake,
        *,
        begun: bool = False,
    ) -> Pending | Shed:
        """For a response whose object must be opened first: see `ReadAhead.open`."""
        pending = Pending(self, None, wake)
        pending.waiting = self.ahead.open(path, opening, opened, pending.woken, begun=begun)
        return Shed.QUEUE_FULL if pending.waiting is None else pending
