"""What fill may add to a link without a dearer bill."""

from datetime import UTC, datetime
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.fill.percentile import (
    SLOT_S,
    SLOTS_OF_DAY,
    LinkMonth,
    billed_bytes,
    bytes_until,
    headroom,
    month_of,
)

MONTH = 30 * SLOTS_OF_DAY


def test_a_month_is_cut_into_five_minutes_from_its_first_day() -> None:
    now = datetime(2026, 2, 14, 3, tzinfo=UTC)
    assert month_of(now.timestamp()) == (datetime(2026, 2, 1, tzinfo=UTC).timestamp(), 28 * 288)
    december = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
    assert month_of(december.timestamp())[1] == 31 * 288


def test_the_bill_is_the_most_of_what_is_not_free() -> None:
    assert billed_bytes([5, 9, 7] + [1] * 97, 100, 95) == 1
    assert billed_bytes([5, 9, 7, 8, 6, 4] + [1] * 94, 100, 95) == 4
    assert billed_bytes([5], 100, 95) == 0


def test_what_others_pay_for_already_is_free() -> None:
    # At the 99th percentile one slot of a hundred is free, and others took it.
    link = LinkMonth(100, fill=[0] * 50, others=[70, *[50] * 48, 20])
    room = headroom(link, 99)
    assert (room.paid_bytes, room.slot_bytes) == (50, 30)


def test_on_a_link_that_carries_fill_alone_the_free_slots_are_spread_over_the_month() -> None:
    first = headroom(LinkMonth(MONTH, [0], [0]), 95)
    assert (first.free_slots, first.slot_bytes) == (15, inf)
    spent = headroom(LinkMonth(MONTH, [9] * 15 + [0], [0] * 16), 95)
    assert (spent.free_slots, spent.slot_bytes) == (0, 0)
    tomorrow = LinkMonth(MONTH, [9] * 15 + [0] * (SLOTS_OF_DAY - 14), [0] * (SLOTS_OF_DAY + 1))
    assert headroom(tomorrow, 95).free_slots == 15


def test_nothing_is_added_in_the_slots_that_others_will_need() -> None:
    # Last month others were busy for an hour each evening: 30 hours of the 36 that are free.
    evening = [0] * 240 + [90] * 12 + [0] * 36
    link = LinkMonth(MONTH, [0], [0], expected=evening * 30)
    assert headroom(link, 95).free_slots == (432 - 360 + 29) // 30
    longer = [0] * 240 + [90] * 15 + [0] * 33
    assert headroom(LinkMonth(MONTH, [0], [0], expected=longer * 30), 95).slot_bytes == 0


def test_what_may_come_until_a_window_closes_counts_free_slots_and_paid_ones() -> None:
    link = LinkMonth(MONTH, [0], [0])
    assert bytes_until(link, headroom(link, 95), slots=12, rate_bytes_per_s=10) == 12 * SLOT_S * 10
    assert bytes_until(link, headroom(link, 95), slots=100, rate_bytes_per_s=10) == 15 * SLOT_S * 10
    assert bytes_until(link, headroom(link, 95), slots=12, rate_bytes_per_s=inf) == inf
    busy = LinkMonth(MONTH, [0] * 2000, [200] * 432 + [100] * 1558 + [40] * 10)
    assert bytes_until(busy, headroom(busy, 95), slots=10, rate_bytes_per_s=inf) == 0
    calm = LinkMonth(MONTH, [0] * 2000, [200] * 432 + [100] * 1548 + [40] * 20)
    assert bytes_until(calm, headroom(calm, 95), slots=10, rate_bytes_per_s=inf) == 600


@pytest.mark.parametrize("count", [0, 101])
def test_a_month_of_other_slots_than_it_has_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=r"1\.\.100"):
        LinkMonth(100, [0] * count, [0] * count)


@given(
    st.lists(st.sampled_from([0, 0, 0, 10, 20, 50]), min_size=40, max_size=400),
    st.sampled_from([1, 50, 90, 95, 99, 100]),
    st.data(),
)
def test_the_fill_never_raises_the_billed_percentile_of_the_link(
    others: list[int], percentile: int, data: st.DataObject
) -> None:
    fill: list[int] = []
    greed = data.draw(st.lists(st.sampled_from([0, 5, 60, 500]), min_size=1, max_size=20))
    for i in range(len(others)):
        link = LinkMonth(len(others), [*fill, 0], others[: i + 1], expected=others)
        fill.append(int(min(greed[i % len(greed)], headroom(link, percentile).slot_bytes)))
    total = [mine + theirs for mine, theirs in zip(fill, others, strict=True)]
    slots = len(others)
    assert billed_bytes(total, slots, percentile) == billed_bytes(others, slots, percentile)
