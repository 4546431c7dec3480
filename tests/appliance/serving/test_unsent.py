"""How much may wait unsent for a connection, by what its path carries."""

from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.serving.unsent import (
    AHEAD_S,
    CAP_BYTES,
    FLOOR_BYTES,
    SAME_MACHINE_RTT_US,
    PathInfo,
    next_bound,
)

BOUNDS = tuple(FLOOR_BYTES << doubled for doubled in range(4))
rates = st.integers(0, 2**40)
round_trips = st.integers(0, 2**32 - 1)
far_round_trips = st.integers(SAME_MACHINE_RTT_US, 2**32 - 1)
paths = st.builds(PathInfo, round_trips, rates)
bounds = st.sampled_from(BOUNDS)


def far(mbit_per_s: float) -> PathInfo:
    return PathInfo(min_rtt_us=20_000, delivery_bytes_per_s=int(mbit_per_s * 1e6 / 8))


def test_a_film_at_home_speed_stays_at_the_floor() -> None:
    assert next_bound(far(25), FLOOR_BYTES) == FLOOR_BYTES


def test_a_fast_path_may_have_as_much_unsent_as_it_carries_until_the_worker_returns() -> None:
    assert next_bound(far(100), FLOOR_BYTES) == 512 * 1024
    assert next_bound(far(200), FLOOR_BYTES) == CAP_BYTES


def test_a_client_on_this_machine_stays_at_the_floor_however_fast_it_is() -> None:
    assert next_bound(PathInfo(10, 4_000_000_000), FLOOR_BYTES) == FLOOR_BYTES
    assert next_bound(PathInfo(10, 4_000_000_000), CAP_BYTES) == FLOOR_BYTES


def test_a_path_that_became_slow_gives_back_what_it_held() -> None:
    assert next_bound(far(5), CAP_BYTES) == FLOOR_BYTES


def test_a_path_of_which_nothing_is_known_yet_stays_at_the_floor() -> None:
    assert next_bound(PathInfo(0, 0), FLOOR_BYTES) == FLOOR_BYTES
    # What the kernel says before the first acknowledgement.
    assert next_bound(PathInfo(2**32 - 1, 0), FLOOR_BYTES) == FLOOR_BYTES


@given(paths, bounds)
def test_the_bound_is_always_the_floor_doubled_and_never_above_the_cap(
    path: PathInfo, bound: int
) -> None:
    assert next_bound(path, bound) in BOUNDS
    assert BOUNDS[-1] == CAP_BYTES


@given(far_round_trips, rates, rates, bounds)
def test_a_faster_path_never_has_the_smaller_bound(
    min_rtt_us: int, one: int, other: int, bound: int
) -> None:
    slow, fast = sorted((one, other))
    assert next_bound(PathInfo(min_rtt_us, slow), bound) <= next_bound(
        PathInfo(min_rtt_us, fast), bound
    )


@given(paths, bounds)
def test_the_same_path_looked_at_twice_moves_nothing_the_second_time(
    path: PathInfo, bound: int
) -> None:
    once = next_bound(path, bound)
    assert next_bound(path, once) == once


@given(far_round_trips, rates, bounds, st.floats(0.51, 1.0))
def test_a_rate_that_dips_by_less_than_half_and_comes_back_moves_nothing(
    min_rtt_us: int, rate: int, bound: int, dip: float
) -> None:
    settled = next_bound(PathInfo(min_rtt_us, rate), bound)
    if settled <= rate * AHEAD_S - 1 < 2 * settled:
        assert next_bound(PathInfo(min_rtt_us, int(rate * dip)), settled) == settled
