"""What players of a site take, smoothed over days."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_control_plane.demand.smoothing import HALF_LIFE_S, SiteDemand

DAY_S = 86_400.0


def _steady(days: int, *, per_day: int = 86_400) -> SiteDemand:
    demand = SiteDemand(0.0)
    for hour in range(1, days * 24 + 1):
        demand.add({"film/v1": per_day // 24}, hour * 3600.0)
    return demand


@pytest.mark.parametrize("days", [1, 3, 30])
def test_a_steady_title_is_told_at_its_rate_however_long_it_was_watched(days: int) -> None:
    rate = _steady(days).bytes_per_s(days * DAY_S)["film/v1"]
    assert rate == pytest.approx(1.0, rel=0.02)


def test_a_title_that_nobody_watches_any_more_halves_with_each_half_life() -> None:
    demand = _steady(30)
    later = demand.bytes_per_s(30 * DAY_S + 3 * HALF_LIFE_S)["film/v1"]
    assert later == pytest.approx(1 / 8, rel=0.02)


def test_the_first_minutes_of_a_site_are_not_taken_for_its_days() -> None:
    demand = SiteDemand(0.0)
    demand.add({"film/v1": 3600}, 60.0)
    assert demand.bytes_per_s(60.0)["film/v1"] == pytest.approx(1.0, rel=0.02)


def test_beyond_the_bound_the_less_wanted_half_is_forgotten_and_counted() -> None:
    demand = SiteDemand(0.0, versions_max=10)
    assert demand.add({f"film-{n}/v1": n for n in range(10)}, 1.0) == 0
    assert demand.add({"more/v1": 100}, 2.0) == 6
    assert set(demand.score) == {"more/v1", *(f"film-{n}/v1" for n in range(6, 10))}


@given(
    st.lists(st.tuples(st.floats(0, 400 * DAY_S), st.sampled_from("abc"), st.integers(0, 10**15))),
    st.floats(-10 * DAY_S, 400 * DAY_S),
)
def test_no_clock_makes_a_rate_that_is_no_number(
    events: list[tuple[float, str, int]], at: float
) -> None:
    demand = SiteDemand(0.0)
    for now, version, sent in events:
        demand.add({version: sent}, now)
    assert all(0.0 <= rate < 1e18 for rate in demand.bytes_per_s(at).values())
