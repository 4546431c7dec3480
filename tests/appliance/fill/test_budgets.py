"""How much may come now."""

from datetime import UTC, datetime
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.fill.budgets import (
    NO_LIMIT,
    Allowance,
    Budget,
    Wait,
    WindowLedger,
    allowance,
    flash_budget,
)
from sluice_appliance.fill.percentile import LinkMonth
from sluice_appliance.fill.policy import NO_LIMITS, FillPolicy
from sluice_appliance.fill.windows import FillWindow, Opening

NIGHT = FillWindow(2 * 60, 4 * 60)
THREE = datetime(2026, 11, 23, 3, tzinfo=UTC).timestamp()
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()
OPENING = Opening(THREE - 3600, THREE + 3 * 3600)


def test_without_limits_all_may_come() -> None:
    assert allowance(NO_LIMITS, NOON) == Allowance()


def test_while_the_window_is_closed_only_what_is_urgent_may_come() -> None:
    may = allowance(FillPolicy((NIGHT,)), NOON)
    assert (may.normal, may.wait) == (Budget(0, 0), Wait.WINDOW)
    assert may.urgent == NO_LIMIT


def test_a_window_brings_its_bytes_and_no_more() -> None:
    policy = FillPolicy((NIGHT,), window_bytes_max=100)
    ledger = WindowLedger().after(70, OPENING)
    may = allowance(policy, THREE, ledger=ledger)
    assert (may.normal, may.wait) == (Budget(30, 100), Wait.BUDGET)
    assert allowance(policy, THREE, ledger=ledger.after(50, OPENING)).normal == Budget(0, 100)
    assert allowance(policy, THREE + 86_400, ledger=ledger).normal == Budget(100, 100)


def test_what_came_outside_of_every_window_is_on_no_windows_account() -> None:
    assert WindowLedger().after(70, None) == WindowLedger()


def test_a_rate_brings_what_it_can_until_the_window_closes() -> None:
    may = allowance(FillPolicy((NIGHT,), rate_bits_per_s_max=8_000), THREE)
    assert may.normal == Budget(3 * 3600 * 1000, 4 * 3600 * 1000)
    assert may.urgent.left_bytes == 86_400 * 1000


def test_a_billed_link_of_which_nothing_is_known_takes_what_is_urgent_alone() -> None:
    may = allowance(FillPolicy(billed_percentile=95), NOON)
    assert may.normal.left_bytes == may.unbilled_bytes == 0
    assert may.urgent == NO_LIMIT
    assert allowance(NO_LIMITS, NOON).unbilled_bytes == inf


def test_what_is_urgent_passes_the_bill_but_not_the_rate() -> None:
    policy = FillPolicy((NIGHT,), rate_bits_per_s_max=8, billed_percentile=95)
    link = LinkMonth(8640, [0] * 2000, [200] * 432 + [100] * 1548 + [40] * 20)
    assert allowance(policy, NOON, link=link).urgent == Budget(86_400, 86_400)
    assert allowance(policy, NOON, link=link).unbilled_bytes == 288 * 50
    assert allowance(policy, THREE, link=link).unbilled_bytes == 36 * 50


def test_a_billed_link_takes_what_others_have_paid_for() -> None:
    link = LinkMonth(8640, [0] * 2000, [200] * 432 + [100] * 1548 + [40] * 20)
    may = allowance(FillPolicy((NIGHT,), billed_percentile=95), THREE, link=link)
    assert may.normal == Budget(36 * 50, 48 * 50)


def test_flash_takes_its_share_of_a_day() -> None:
    policy = FillPolicy(drive_writes_per_day=0.5)
    assert flash_budget(policy, capacity_bytes=100, written_bytes=20) == Budget(30, 50)
    assert flash_budget(policy, capacity_bytes=100, written_bytes=60) == Budget(0, 50)
    assert flash_budget(NO_LIMITS, capacity_bytes=100, written_bytes=60) == NO_LIMIT


def test_filling_that_does_not_pay_stops_only_where_the_policy_says_so() -> None:
    assert allowance(NO_LIMITS, NOON, is_stopped=True).is_proactive
    stops = FillPolicy(stop_below_unit_roi=True)
    assert not allowance(stops, NOON, is_stopped=True).is_proactive
    assert allowance(stops, NOON).is_proactive


@pytest.mark.parametrize(
    "wrong",
    [
        {"window_bytes_max": 0},
        {"rate_bits_per_s_max": -1},
        {"drive_writes_per_day": inf},
        {"drive_writes_per_day": float("nan")},
        {"billed_percentile": 101},
    ],
)
def test_a_limit_that_limits_nothing_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        FillPolicy(**wrong)  # type: ignore[arg-type]  # what a policy must refuse


@given(
    st.integers(1, 10**6) | st.none(),
    st.integers(1, 10**6) | st.none(),
    st.integers(0, 2 * 86_400),
    st.integers(0, 10**6),
)
def test_what_is_left_is_never_more_than_the_whole_nor_less_than_nothing(
    window_bytes: int | None, rate: int | None, later_s: int, taken: int
) -> None:
    policy = FillPolicy((NIGHT,), window_bytes_max=window_bytes, rate_bits_per_s_max=rate)
    may = allowance(policy, THREE + later_s, ledger=WindowLedger(OPENING.opens_at, taken))
    assert 0 <= may.normal.left_bytes <= may.normal.whole_bytes
    assert may.normal.whole_bytes <= (window_bytes or inf)
