"""What is written to flash stays within its drive writes a day."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.store.write_budget import DAY_S, WriteBudget, write_budget

STEPS = st.lists(
    st.tuples(st.floats(min_value=0, max_value=500), st.integers(min_value=0, max_value=3_000)),
    max_size=60,
)


@given(STEPS)
def test_over_no_window_more_is_written_than_the_burst_and_what_came_in_since(
    steps: list[tuple[float, int]],
) -> None:
    budget = WriteBudget(2.0, 1_000.0, 0.0)
    now, given_out = 0.0, []
    for wait_s, size_bytes in steps:
        now += wait_s
        if budget.take(size_bytes, now):
            given_out.append((now, size_bytes))
    for first, (begin, _) in enumerate(given_out):
        written = 0
        for end, size_bytes in given_out[first:]:
            written += size_bytes
            assert written <= 1_000.0 + 2.0 * (end - begin) + 1e-6


def test_a_drive_rated_for_half_a_write_a_day_takes_half_its_bytes_a_day() -> None:
    budget = write_budget(0.5, 1_000_000, 0.0)
    assert budget.take(int(budget.left_bytes(0.0)), 0.0)
    written = sum(1_000 for minute in range(1, 1_441) if budget.take(1_000, minute * 60.0))
    assert 499_000 <= written <= 500_000
    assert budget.given_bytes == written + 125_000
    assert budget.rate_bytes_per_s * DAY_S == pytest.approx(500_000)


def test_what_is_refused_takes_nothing_and_is_counted() -> None:
    budget = WriteBudget(1.0, 100.0, 0.0)
    assert not budget.take(101, 0.0)
    assert budget.take(100, 0.0)
    assert (budget.given_bytes, budget.refused_bytes) == (100, 101)


def test_a_clock_that_steps_back_fills_nothing_twice() -> None:
    budget = WriteBudget(1.0, 100.0, 50.0)
    assert budget.take(100, 50.0)
    assert budget.left_bytes(60.0) == 10.0
    assert budget.left_bytes(20.0) == 10.0
    assert budget.left_bytes(60.0) == 10.0


def test_a_restart_does_not_fill_the_budget() -> None:
    budget = WriteBudget(1.0, 100.0, 1_000.0)
    budget.resume(7.0, 1_000.0)
    assert budget.left_bytes(1_000.0) == 7.0


def test_a_budget_of_nothing_is_refused_by_its_numbers() -> None:
    with pytest.raises(ValueError, match=r"0 bytes/s"):
        WriteBudget(0, 1.0, 0.0)
