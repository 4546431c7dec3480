"""How fast fetched bytes are taken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.fill.shaping import BURST_S, RateLimit


def test_without_a_cap_nobody_waits() -> None:
    assert RateLimit(None, 0.0).next_send_at(10**12, 5.0) == 5.0


def test_a_piece_of_any_size_passes_and_the_next_waits_for_it() -> None:
    limit = RateLimit(8_000, 0.0)
    assert limit.next_send_at(1000, 0.0) == pytest.approx(1.0)
    assert limit.next_send_at(500, 1.0) == pytest.approx(1.5)


def test_a_pause_earns_no_more_than_a_short_burst() -> None:
    limit = RateLimit(8_000, 0.0)
    assert limit.next_send_at(1000, 1000.0) == pytest.approx(1001.0 - BURST_S)


def test_a_piece_that_a_pause_has_paid_for_is_followed_at_once() -> None:
    assert RateLimit(8_000, 0.0).next_send_at(1, 1000.0) == 1000.0


def test_a_new_cap_after_none_or_after_a_pause_begins_without_a_burst() -> None:
    limit = RateLimit(None, 0.0)
    limit.change(8_000, 10.0)
    assert limit.next_send_at(1000, 10.0) == pytest.approx(11.0)
    limit.change(16_000, 100.0)
    assert limit.next_send_at(2000, 100.0) == pytest.approx(101.0)


def test_a_new_cap_holds_at_once_for_what_is_owed_too() -> None:
    limit = RateLimit(8_000, 0.0)
    limit.next_send_at(1000, 0.0)
    limit.change(16_000, 0.5)
    assert limit.next_send_at(0, 0.5) == pytest.approx(0.75)
    limit.change(None, 0.5)
    assert limit.next_send_at(10**9, 0.5) == 0.5


def test_a_cap_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="bits_per_s is 0"):
        RateLimit(0, 0.0)


PIECES = st.lists(st.integers(1, 65_536), min_size=1, max_size=200)


@given(st.integers(10**6, 10**10), PIECES, st.lists(st.floats(0, 0.01), min_size=1, max_size=20))
def test_takers_that_wait_never_pass_the_cap_by_more_than_a_burst_and_a_piece(
    bits_per_s: int, pieces: list[int], late_s: list[float]
) -> None:
    """`late_s`: how late the loop wakes whom it should."""
    limit, now, taken = RateLimit(bits_per_s, 0.0), 0.0, 0
    for i, size in enumerate(pieces):
        taken += size
        assert taken <= bits_per_s / 8 * (now + BURST_S) + size + 1
        now = limit.next_send_at(size, now) + late_s[i % len(late_s)]


@pytest.mark.parametrize("mbit_per_s", [1, 100, 1200, 10_000])
@pytest.mark.parametrize("takers", [1, 4, 64])
def test_takers_that_always_have_more_come_within_five_percent_of_the_cap(
    mbit_per_s: int, takers: int
) -> None:
    limit, for_s, piece = RateLimit(mbit_per_s * 1e6, 0.0), 10.0, 65_536
    taken = 0
    ready_at = [0.0] * takers
    while (now := min(ready_at)) < for_s:
        taken += piece
        # A loop wakes a millisecond late, and a read takes one.
        ready_at[ready_at.index(now)] = limit.next_send_at(piece, now) + 0.002
    rate = (taken - takers * piece) * 8 / for_s / 1e6
    reachable = min(mbit_per_s, takers * piece * 8 / 0.002 / 1e6)
    assert 0.95 * reachable <= rate <= 1.05 * mbit_per_s
