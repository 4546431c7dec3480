"""What fill brings, over restarts of appliances."""

from hypothesis import given
from hypothesis import strategies as st

from sluice_control_plane.fill.returns import FillReturns, Returns

LIVES = st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1), max_size=5)


@given(LIVES)
def test_every_byte_counts_once_over_any_number_of_starts(
    lives: list[list[tuple[int, int]]],
) -> None:
    returns, fresh, total = FillReturns(), Returns(), Returns()
    for life, deltas in enumerate(lives):
        since_start = Returns()
        for filled, offloaded in deltas:
            since_start += Returns(filled, offloaded)
            # A report comes twice.
            for _ in range(2):
                fresh += returns.hear("a-1", f"life-{life}", since_start)
        total += since_start
    assert fresh == total == returns.of(["a-1"])


def test_a_report_that_came_late_takes_nothing_back() -> None:
    returns = FillReturns()
    for told in (Returns(10, 50), Returns(5, 20), Returns(10, 60)):
        returns.hear("a-1", "one", told)
    assert returns.of(["a-1"]) == Returns(10, 60)


def test_a_site_is_its_appliances_together_and_one_that_was_not_heard_counts_nothing() -> None:
    returns = FillReturns()
    returns.hear("a-1", "one", Returns(10, 50))
    returns.hear("a-2", "one", Returns(30, 10))
    assert returns.of(["a-1", "a-2", "a-3"]).ratio == 1.5
    assert returns.of(["a-3"]).ratio == 0.0
