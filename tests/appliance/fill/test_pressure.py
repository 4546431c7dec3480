"""Whether fill stands aside for viewers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.fill.pressure import Load, Pressure, PressureTuning, Signal

CALM = Load()
TUNING = PressureTuning()


@pytest.mark.parametrize(
    ("load", "signal"),
    [
        (Load(shed=1), Signal.SHED),
        (Load(disk_queue=0.8), Signal.DISK_QUEUE),
        (Load(loop_lag_s=0.03), Signal.LOOP_LAG),
        (Load(cpu=0.95), Signal.CPU),
    ],
)
def test_one_signal_above_its_bound_pauses_fill_at_once(load: Load, signal: Signal) -> None:
    pressure = Pressure()
    assert pressure.look(load, 0.0) is signal
    assert pressure.is_paused


def test_a_busy_box_below_its_bounds_goes_on_filling() -> None:
    pressure = Pressure()
    assert pressure.look(Load(disk_queue=0.7, loop_lag_s=0.015, cpu=0.85), 0.0) is None
    assert not pressure.is_paused


def test_at_its_bounds_and_not_above_them_a_box_goes_on_filling() -> None:
    at = Load(TUNING.disk_queue, TUNING.shed, TUNING.loop_lag_s, TUNING.cpu)
    assert Pressure().look(at, 0.0) is None


def test_fill_goes_on_once_all_was_calm_for_the_length_of_a_pause() -> None:
    pressure = Pressure()
    pressure.look(Load(shed=3), 0.0)
    pressure.look(CALM, 1.0)
    assert pressure.is_paused
    pressure.look(CALM, TUNING.pause_s)
    assert not pressure.is_paused


def test_between_calm_and_the_bound_a_pause_goes_on() -> None:
    pressure = Pressure()
    pressure.look(Load(cpu=1.0), 0.0)
    pressure.look(Load(cpu=0.8), 10.0)
    pressure.look(CALM, 11.0)
    assert pressure.is_paused
    pressure.look(CALM, 12.0)
    assert not pressure.is_paused


def test_pauses_that_follow_each_other_are_twice_as_long_each_up_to_a_bound() -> None:
    pressure, now, pauses = Pressure(), 0.0, []
    for _ in range(8):
        began = now
        pressure.look(Load(shed=1), now)
        while pressure.is_paused:
            now += 0.5
            pressure.look(CALM, now)
        pauses.append(now - began)
        now += 1
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]
    pressure.look(CALM, now + TUNING.forget_s)
    pressure.look(Load(shed=1), now + TUNING.forget_s)
    pressure.look(CALM, now + TUNING.forget_s + TUNING.pause_s)
    assert not pressure.is_paused


LOADS = st.builds(Load, st.floats(0, 2), st.integers(0, 1), st.floats(0, 0.1), st.floats(0, 1))


@given(st.lists(st.tuples(LOADS, st.floats(0.01, 5)), max_size=60))
def test_no_pause_is_shorter_than_the_shortest(looks: list[tuple[Load, float]]) -> None:
    pressure, now, began = Pressure(), 0.0, 0.0
    for load, step_s in looks:
        now += step_s
        was = pressure.is_paused
        begun_by = pressure.look(load, now)
        assert (begun_by is not None) == (pressure.is_paused and not was)
        if begun_by is not None:
            began = now
        if was and not pressure.is_paused:
            assert now - began >= TUNING.pause_s
