"""Decides how many reads a disk is given at a time, and which requests are refused when it has enough.

A disk works on a few reads side by side; beyond that knee more reads only wait longer, until all of them
come too late. Nobody knows the knee beforehand, so it is found from how long reads take, after the idea
of Netflix's concurrency-limits (Gradient2): the limit is multiplied by how far an unhurried read is from a
present one, and may always grow by a short queue. Only reads that miss the memory come here. A request
whose bytes are in memory is never asked about and never refused; the bound on connections is its bound.

Cost: a permit is a comparison and an addition, about 2 us with its end; it stands beside a disk read.
"""

from dataclasses import dataclass
from enum import Enum
from math import inf, sqrt
from typing import NamedTuple


class Kind(Enum):
    """What a read is for."""

    # A response of which nothing was sent: it can still be a 503, and the player goes elsewhere.
    OPENING = "opening"
    # The rest of a response: to break it off would waste what was sent.
    UNDER_WAY = "under_way"


class Permit(NamedTuple):
    """A read that was begun; each is given back once, to `end` or to `give_up`."""

    began_at: float
    # Counts up from 1.
    number: int


@dataclass(frozen=True, slots=True)
class Tuning:
    initial: int = 16
    # A disk that gives anything at all gives it to so many; below, a few samples would be noise.
    least: int = 4
    most: int = 512
    # How much longer than an unhurried read a read may take before the limit falls. Below 1 the disk
    # would idle; at 2 a queue as long as the work itself would be taken for normal.
    tolerance: float = 1.5
    # How fast the limit follows what was measured in one window.
    smoothing: float = 0.2
    # The limit at most halves (before smoothing) in one window, whatever was measured.
    gradient_min: float = 0.5
    # A window ends when it has both: a mean of fewer reads says little. It also has the time of a few
    # reads, to show what the last change of the limit did.
    window_s: float = 0.02
    samples_min: int = 64
    # At first, and then while reads queue: how often and for how long at most the disk is given a quarter
    # of its limit, to see how long an unhurried read takes now. Some hundredths of the time.
    probe_every_s: float = 10.0
    probe_s: float = 2.0
    probe_reads: int = 32
    # After a window in which more than this share of the reads was lost: one object that cannot be read
    # says nothing of the disk.
    lost_max: float = 0.1
    backoff: float = 0.8


# Shares of the limit: below the first it was not asked for, at or below the second the disk had no queue.
_USED = 0.5
_UNHURRIED = 0.25
_WINDOW_READS = 3
# How fast the long average follows a window without a queue, and one with.
_LONG_SMOOTHING = 0.5
_LONG_SMOOTHING_QUEUED = 0.1


class ConcurrencyLimiter:
    """Grants permits for reads of one disk; `now` is any clock that does not go back."""

    def __init__(self, now: float, tuning: Tuning = Tuning()) -> None:
        self._tuning = tuning
        self._limit = float(tuning.initial)
        self.in_flight = 0
        # The long average: seconds that an unhurried read takes; 0 while nothing was read.
        self._unhurried_s = 0.0
        self._begun = 0
        # The present window: its reads, what they took, how many were lost, how many there were at once.
        self._window_at = now
        self._samples = 0
        self._sum_s = 0.0
        self._lost = 0
        self._deepest = 0
        self._probe_at = now
        self._probe_until: float | None = inf
        # The number after which reads of a probe are counted; None while others are still queued.
        self._probe_after: int | None = 0
        self._probe_missing = tuning.probe_reads

    @property
    def limit(self) -> int:
        """How many reads may be in flight for one more request to be begun."""
        return int(self._unhurried_bound() if self._probe_until is not None else self._limit)

    def try_begin(self, kind: Kind, now: float) -> Permit | None:
        """None: answer 503 and read nothing. Never None for what is under way."""
        if kind is Kind.OPENING and self.in_flight >= self.limit:
            return None
        self.in_flight += 1
        self._begun += 1
        self._deepest = max(self._deepest, self.in_flight)
        return Permit(now, self._begun)

    def end(self, permit: Permit, now: float, *, dropped: bool = False) -> None:
        """The read is done; `dropped` says that it failed, or that nothing had room to do it."""
        self.in_flight -= 1
        assert self.in_flight >= 0, "a permit was given back twice"
        if dropped:
            self._lost += 1
        elif self._probe_until is None or self._is_of_probe(permit):
            self._samples += 1
            self._sum_s += now - permit.began_at
        if self._probe_until is not None:
            self._go_on_probing(permit, now)
        elif self._is_window_whole(now):
            self._close_window(now)

    def give_up(self, permit: Permit, now: float) -> None:
        """Nobody waits for the read any more: how long it would have taken is not known."""
        self.in_flight -= 1
        assert self.in_flight >= 0, "a permit was given back twice"
        if self._probe_until is not None:
            self._go_on_probing(permit, now)

    def _close_window(self, now: float) -> None:
        short_s = self._sum_s / self._samples if self._samples else self._unhurried_s
        self._learn(short_s)
        self._limit = self._next_limit(short_s)
        if now >= self._probe_at and short_s > self._tuning.tolerance * self._unhurried_s:
            self._probe_until = now + self._tuning.probe_s
            self._probe_missing = self._tuning.probe_reads
        self._begin_window(now)

    def _is_of_probe(self, permit: Permit) -> bool:
        after = self._probe_after
        return after is not None and after < permit.number <= after + self._tuning.probe_reads

    def _go_on_probing(self, ended: Permit, now: float) -> None:
        """Waits until the queue is gone, then takes the mean of the next reads: of all of them, as those
        that end first are the fast ones."""
        if self._is_of_probe(ended):
            self._probe_missing -= 1
        elif self._probe_after is None and self.in_flight <= self._unhurried_bound():
            self._probe_after = self._begun
            self._probe_missing = self._tuning.probe_reads
            self._begin_window(now)
        if self._probe_missing == 0 and self._samples:
            self._learn(self._sum_s / self._samples)
        elif self._probe_missing and self._probe_until is not None and now < self._probe_until:
            return
        self._probe_until = self._probe_after = None
        self._probe_at = now + self._tuning.probe_every_s
        self._begin_window(now)

    def _learn(self, short_s: float) -> None:
        """How long a read takes is believed where there was no queue. Where there was one, only a read
        that is faster tells something, and slowly: the mean of a few is low by chance as often as high."""
        if not self._unhurried_s:
            weight = 1.0
        elif self._deepest <= self._unhurried_bound():
            weight = _LONG_SMOOTHING
        else:
            weight = _LONG_SMOOTHING_QUEUED if short_s < self._unhurried_s else 0.0
        self._unhurried_s += weight * (short_s - self._unhurried_s)

    def _next_limit(self, short_s: float) -> float:
        tuning, limit = self._tuning, self._limit
        if self._lost > tuning.lost_max * (self._samples + self._lost):
            return max(float(tuning.least), limit * tuning.backoff)
        ratio = tuning.tolerance * self._unhurried_s / short_s if short_s > 0 else 1.0
        gradient = min(1.0, max(tuning.gradient_min, ratio))
        wanted = limit * gradient + sqrt(limit)
        if wanted > limit and self._deepest < limit * _USED:
            return limit
        limit += tuning.smoothing * (wanted - limit)
        return min(float(tuning.most), max(float(tuning.least), limit))

    def _unhurried_bound(self) -> float:
        return max(float(self._tuning.least), self._limit * _UNHURRIED)

    def _is_window_whole(self, now: float) -> bool:
        if self._samples + self._lost < self._tuning.samples_min:
            return False
        least_s = max(self._tuning.window_s, _WINDOW_READS * self._unhurried_s)
        return now - self._window_at >= least_s

    def _begin_window(self, now: float) -> None:
        self._window_at = now
        self._samples = 0
        self._sum_s = 0.0
        self._lost = 0
        self._deepest = self.in_flight


# A player that is refused asks again, and must not ask together with all others that were refused.
RETRY_AFTER_S = (1, 2, 3, 4)


def retry_after_s(refusals: int) -> int:
    """Seconds for the Retry-After of the n-th refusal: evenly spread, the same in every run."""
    return RETRY_AFTER_S[refusals % len(RETRY_AFTER_S)]
