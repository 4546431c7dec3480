"""Whether filling pays."""

from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.fill.roi import FillRoi, RoiTuning, advanced

DAY_S = 86_400.0
TUNING = RoiTuning()
OLD = FillRoi(began_at=-40 * DAY_S, at=0.0)


def days(roi: FillRoi, count: int, *, filled: int, offloaded: int) -> FillRoi:
    for _ in range(count):
        roi = advanced(roi, roi.at + DAY_S, filled_bytes=filled, offloaded_bytes=offloaded)
    return roi


def test_the_ratio_is_bytes_sent_for_each_byte_fetched() -> None:
    assert days(OLD, 10, filled=100, offloaded=300).ratio == 3
    assert days(OLD, 1, filled=0, offloaded=0).ratio == float("inf")


def test_a_day_weighs_half_after_a_week() -> None:
    roi = days(OLD, 1, filled=100, offloaded=0)
    assert abs(days(roi, 7, filled=0, offloaded=0).filled_bytes - 50) < 1e-9


def test_a_box_that_brings_less_than_it_fetches_stops_after_two_days() -> None:
    assert not days(OLD, 2, filled=100, offloaded=90).is_stopped
    assert days(OLD, 3, filled=100, offloaded=90).is_stopped


def test_a_box_that_brings_as_much_as_it_fetches_goes_on() -> None:
    roi = days(OLD, 20, filled=100, offloaded=100)
    assert (roi.ratio, roi.is_stopped) == (1, False)


def test_a_young_box_is_not_judged() -> None:
    young = FillRoi(began_at=0.0, at=0.0)
    assert not days(young, 29, filled=100, offloaded=0).is_stopped
    assert days(young, 30, filled=100, offloaded=0).is_stopped


def test_one_bad_day_stops_nothing() -> None:
    good = days(OLD, 20, filled=100, offloaded=200)
    assert not days(good, 1, filled=1000, offloaded=0).is_stopped


def test_a_stopped_box_whose_viewers_go_on_watching_fills_again() -> None:
    stopped = days(OLD, 20, filled=100, offloaded=90)
    assert stopped.is_stopped
    resumed = days(stopped, 10, filled=0, offloaded=90)
    assert resumed.ratio >= TUNING.resume_above
    assert not resumed.is_stopped


def test_a_stopped_box_that_is_just_above_one_stays_stopped() -> None:
    stopped = days(OLD, 20, filled=100, offloaded=90)
    above = advanced(stopped, stopped.at, filled_bytes=0, offloaded_bytes=200)
    assert 1 < above.ratio < TUNING.resume_above
    assert above.is_stopped


def test_a_clock_that_goes_back_weighs_nothing_twice() -> None:
    roi = days(OLD, 5, filled=100, offloaded=90)
    assert advanced(roi, 0.0, filled_bytes=0, offloaded_bytes=0) == roi


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), max_size=40))
def test_filling_neither_stops_nor_resumes_but_across_its_bounds(
    history: list[tuple[int, int]],
) -> None:
    roi = OLD
    for filled, offloaded in history:
        then = days(roi, 1, filled=filled, offloaded=offloaded)
        if then.is_stopped and not roi.is_stopped:
            assert then.ratio < TUNING.stop_below
        if roi.is_stopped and not then.is_stopped:
            assert then.ratio >= TUNING.resume_above
        roi = then
