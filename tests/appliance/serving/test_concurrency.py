"""The limit on reads of a disk, against disks in simulated time."""

import heapq
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice_appliance.serving.concurrency import (
    RETRY_AFTER_S,
    ConcurrencyLimiter,
    Kind,
    Permit,
    Tuning,
    retry_after_s,
)

# A player that has waited so long for a segment has asked elsewhere.
PATIENCE_S = 1.0


@dataclass
class Outcome:
    """What clients got in one run."""

    in_time: int = 0
    too_late: int = 0
    refused: int = 0
    waits_s: list[float] = field(default_factory=list)
    # The limit at each completion.
    limits: list[int] = field(default_factory=list)

    def wait_s_p99(self) -> float:
        return sorted(self.waits_s)[int(len(self.waits_s) * 0.99)]


@dataclass
class Disk:
    """So many reads side by side, each exponentially distributed around `service_s`, first come first
    served: M/M/c. Slower by `slowness` from one moment to another."""

    side_by_side: int
    service_s: float
    slow: tuple[float, float] = (0.0, 0.0)
    slowness: float = 1.0

    def reads_per_s(self) -> float:
        return self.side_by_side / self.service_s

    def run(
        self,
        rng: random.Random,
        *,
        asked_per_s: float,
        seconds: float,
        limiter: ConcurrencyLimiter | None,
        counted_from_s: float = 0.0,
    ) -> Outcome:
        """Requests come at random, `asked_per_s` on average."""
        outcome = Outcome()
        free_at = [0.0] * self.side_by_side
        done: list[tuple[float, float, Permit | None]] = []
        now = 0.0
        while now < seconds:
            now += rng.expovariate(asked_per_s)
            while done and done[0][0] <= now:
                self._end(outcome, limiter, *heapq.heappop(done), counted_from_s=counted_from_s)
            permit = None if limiter is None else limiter.try_begin(Kind.OPENING, now)
            if limiter is not None and permit is None:
                outcome.refused += now >= counted_from_s
                continue
            begins = max(now, heapq.heappop(free_at))
            slowness = self.slowness if self.slow[0] <= begins < self.slow[1] else 1.0
            ends = begins + rng.expovariate(1 / (self.service_s * slowness))
            heapq.heappush(free_at, ends)
            heapq.heappush(done, (ends, now, permit))
        return outcome

    def _end(
        self,
        outcome: Outcome,
        limiter: ConcurrencyLimiter | None,
        ended_at: float,
        asked_at: float,
        permit: Permit | None,
        *,
        counted_from_s: float,
    ) -> None:
        if limiter is not None and permit is not None:
            limiter.end(permit, ended_at)
            outcome.limits.append(limiter.limit)
        if ended_at < counted_from_s:
            return
        outcome.waits_s.append(ended_at - asked_at)
        if ended_at - asked_at <= PATIENCE_S:
            outcome.in_time += 1
        else:
            outcome.too_late += 1


def test_a_disk_asked_for_twice_what_it_gives_goes_on_giving_it_all_in_time() -> None:
    disk = Disk(side_by_side=16, service_s=0.005)
    capacity = disk.reads_per_s()

    def run(limiter: ConcurrencyLimiter | None) -> Outcome:
        return disk.run(
            random.Random(3),
            asked_per_s=2 * capacity,
            seconds=15.0,
            limiter=limiter,
            counted_from_s=3.0,
        )

    limited, unlimited = run(ConcurrencyLimiter(0.0)), run(None)
    assert limited.in_time >= 0.9 * capacity * 12.0
    assert limited.too_late == 0
    assert limited.wait_s_p99() < 10 * disk.service_s
    # The same load without the limit: every read is done, and nobody is there any more to take it.
    assert unlimited.in_time < 0.1 * capacity * 12.0
    assert unlimited.too_late > 0.8 * capacity * 12.0


def test_a_disk_asked_for_half_of_what_it_gives_refuses_hardly_anybody() -> None:
    disk = Disk(side_by_side=16, service_s=0.005)
    outcome = disk.run(
        random.Random(5),
        asked_per_s=0.5 * disk.reads_per_s(),
        seconds=15.0,
        limiter=ConcurrencyLimiter(0.0),
        counted_from_s=2.0,
    )
    # The limit grows where it is reached: these few are what it learned from.
    assert outcome.refused < 0.001 * outcome.in_time


@pytest.mark.parametrize(
    # A spinning disk, a SATA one, one of flash, many of them.
    ("side_by_side", "service_s"),
    [(2, 0.01), (8, 0.002), (32, 0.005), (128, 0.02)],
)
def test_the_limit_comes_to_stand_near_the_knee_whatever_the_disk(
    side_by_side: int, service_s: float
) -> None:
    disk = Disk(side_by_side, service_s)
    outcome = disk.run(
        random.Random(side_by_side),
        asked_per_s=1.5 * disk.reads_per_s(),
        seconds=max(10.0, 20_000 / disk.reads_per_s()),
        limiter=ConcurrencyLimiter(0.0),
    )
    settled = outcome.limits[len(outcome.limits) // 2 :]
    usual = sorted(settled)[len(settled) // 2]
    assert side_by_side <= usual <= 3 * side_by_side + 4


def test_the_limit_recovers_after_the_disk_slowed_down_and_healed() -> None:
    disk = Disk(side_by_side=16, service_s=0.005, slow=(10.0, 25.0), slowness=10.0)
    capacity = disk.reads_per_s()

    def given_from(start_s: float, seconds: float) -> Outcome:
        return disk.run(
            random.Random(9),
            asked_per_s=2 * capacity,
            seconds=start_s + seconds,
            limiter=ConcurrencyLimiter(0.0),
            counted_from_s=start_s,
        )

    while_slow = given_from(18.0, 7.0)
    assert while_slow.in_time >= 0.7 * capacity / 10.0 * 7.0
    healed = given_from(28.0, 8.0)
    assert healed.in_time >= 0.9 * capacity * 8.0


def test_what_is_under_way_is_never_refused_and_what_opens_waits_for_it() -> None:
    limiter = ConcurrencyLimiter(0.0, Tuning(initial=4))
    under_way = [limiter.try_begin(Kind.UNDER_WAY, 0.0) for _ in range(50)]
    assert None not in under_way
    assert limiter.try_begin(Kind.OPENING, 0.0) is None
    for permit in under_way:
        assert permit is not None
        limiter.end(permit, 0.01)
    assert limiter.try_begin(Kind.OPENING, 0.02) is not None


def test_reads_that_are_lost_lower_the_limit() -> None:
    limiter = ConcurrencyLimiter(0.0, Tuning(initial=100, samples_min=1, probe_reads=1))
    for now in range(1, 40):
        permits = [limiter.try_begin(Kind.OPENING, now) for _ in range(limiter.limit)]
        for permit in permits:
            assert permit is not None
            limiter.end(permit, now + 0.5, dropped=True)
    assert limiter.limit == Tuning().least


def test_clients_that_leave_teach_nothing_and_the_limit_is_found_without_them() -> None:
    limiter = ConcurrencyLimiter(0.0)
    now = 0.0
    for _ in range(3000):
        permits = []
        while (permit := limiter.try_begin(Kind.OPENING, now)) is not None:
            permits.append(permit)
        for permit in permits[::2]:
            limiter.give_up(permit, now)
        now += 0.005
        for permit in permits[1::2]:
            limiter.end(permit, now)
    assert limiter.limit > 100


def test_one_object_that_cannot_be_read_does_not_hold_the_disk_down() -> None:
    limiter = ConcurrencyLimiter(0.0)
    now = 0.0
    for _ in range(3000):
        permits = []
        while (permit := limiter.try_begin(Kind.OPENING, now)) is not None:
            permits.append(permit)
        now += 0.005
        for number, permit in enumerate(permits):
            limiter.end(permit, now, dropped=number % 16 == 7)
    assert limiter.limit > 100


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "begin", "go on", "end", "drop", "give up"]),
        st.floats(0, 3),
        st.integers(0, 10**6),
    ),
    max_size=400,
)


@settings(max_examples=200)
@given(steps=_STEPS, least=st.integers(1, 10), spread=st.integers(0, 100))
def test_the_limit_stays_within_its_bounds_and_no_request_is_begun_beyond_it(
    steps: list[tuple[str, float, int]], least: int, spread: int
) -> None:
    tuning = Tuning(
        initial=least + spread // 2,
        least=least,
        most=least + spread,
        samples_min=2,
        probe_reads=2,
        probe_every_s=5.0,
    )
    limiter = ConcurrencyLimiter(0.0, tuning)
    now = 0.0
    permits: list[Permit] = []
    for act, waited_s, choice in steps:
        now += waited_s
        if act in ("begin", "go on"):
            kind = Kind.OPENING if act == "begin" else Kind.UNDER_WAY
            permit = limiter.try_begin(kind, now)
            if permit is None:
                assert len(permits) >= limiter.limit
            else:
                permits.append(permit)
                assert kind is Kind.UNDER_WAY or len(permits) <= limiter.limit
        elif permits and act == "give up":
            limiter.give_up(permits.pop(choice % len(permits)), now)
        elif permits:
            limiter.end(permits.pop(choice % len(permits)), now, dropped=act == "drop")
        assert limiter.in_flight == len(permits)
        assert least <= limiter.limit <= tuning.most


def test_those_who_are_refused_are_told_to_come_back_at_different_times() -> None:
    told = [retry_after_s(nth) for nth in range(400)]
    assert {told.count(seconds) for seconds in RETRY_AFTER_S} == {100}
