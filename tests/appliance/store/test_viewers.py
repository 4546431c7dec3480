"""Who is on the way to a block of a run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.store.viewers import AHEAD_S, GONE_S, VIEWERS_MAX, Viewers


def test_a_viewer_who_goes_on_is_one_and_comes_to_what_is_ahead() -> None:
    viewers = _watching(range(10), pace_s=16.0)
    assert len(viewers) == 1
    assert viewers.coming(9, 160.0) == viewers.coming(3, 160.0) == 0
    assert viewers.coming(11, 160.0) > viewers.coming(40, 160.0) > 0


def test_two_viewers_of_one_run_are_two() -> None:
    viewers = _watching(range(10), pace_s=16.0)
    viewers.asked(5, 150.0)
    assert len(viewers) == 2
    assert viewers.coming(8, 150.0) == pytest.approx(1, abs=0.05)
    assert viewers.coming(11, 150.0) == pytest.approx(2, abs=0.1)


def test_how_far_ahead_a_viewer_counts_is_by_time_and_not_by_blocks() -> None:
    slow, fast = _watching(range(50), pace_s=16.0), _watching(range(50), pace_s=1.0)
    ahead = 49 + int(AHEAD_S / 16)
    assert slow.coming(ahead + 5, 50 * 16.0) == 0
    assert fast.coming(ahead + 5, 50.0) > 0.5


def test_of_more_viewers_than_are_followed_the_last_to_go_on_are() -> None:
    viewers = Viewers()
    for n in range(VIEWERS_MAX + 5):
        viewers.asked(10 * n, 0.0)
    assert len(viewers) == VIEWERS_MAX
    assert viewers.coming(45, 0.0) == 0 < viewers.coming(55, 0.0)


def test_who_did_not_go_on_has_left() -> None:
    viewers = _watching(range(10), pace_s=1.0)
    assert viewers.coming(12, 9.0 + GONE_S) > 0
    assert viewers.coming(12, 10.0 + GONE_S) == 0


def test_one_who_seeks_back_is_on_the_way_again() -> None:
    viewers = _watching(range(10), pace_s=1.0)
    viewers.asked(2, 10.0)
    assert viewers.coming(5, 10.0) > 0.9


@given(st.lists(st.tuples(st.integers(0, 200), st.floats(0, 400)), max_size=200))
def test_no_more_viewers_are_followed_than_may_be_and_none_counts_for_more_than_one(
    asks: list[tuple[int, float]],
) -> None:
    viewers, now = Viewers(), 0.0
    for number, wait_s in asks:
        now += wait_s
        viewers.asked(number, now)
        assert len(viewers) <= VIEWERS_MAX
        assert 0 <= viewers.coming(number + 1, now) <= len(viewers)
        assert viewers.coming(0, now) == 0


def _watching(blocks: range, *, pace_s: float) -> Viewers:
    viewers = Viewers()
    for number in blocks:
        viewers.asked(number, number * pace_s)
    return viewers
