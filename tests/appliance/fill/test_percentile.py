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
    # A tenth is left for what others take of the slot until it is over.
    assert (room.paid_bytes, room.slot_bytes) == (50, 45 - 20)
    some = headroom(LinkMonth(100, fill=[0] * 49 + [5], others=[70, *[50] * 48, 20]), 99)
    assert some.slot_bytes == 20


def test_on_a_link_that_carries_fill_alone_the_free_slots_are_spread_over_the_month() -> None:
    quiet = [0] * MONTH
    first = headroom(LinkMonth(MONTH, [0], [0], quiet), 95)
    assert (first.free_slots, first.slot_bytes) == (15, inf)
    spent = headroom(LinkMonth(MONTH, [9] * 15 + [0], [0] * 16, quiet), 95)
    assert (spent.free_slots, spent.slot_bytes) == (0, 0)
    fill = [9] * 15 + [0] * (SLOTS_OF_DAY - 14)
    tomorrow = LinkMonth(MONTH, fill, [0] * (SLOTS_OF_DAY + 1), quiet)
    assert headroom(tomorrow, 95).free_slots == 15


def test_a_free_slot_that_fill_has_begun_to_use_goes_on_being_free() -> None:
    quiet = [0] * MONTH
    room = headroom(LinkMonth(MONTH, [9] * 15, [0] * 15, quiet), 95)
    assert (room.free_slots, room.slot_bytes) == (1, inf)
    # The only one of the month.
    only = headroom(LinkMonth(100, [9], [0], [0] * 100), 99)
    assert (only.free_slots, only.slot_bytes) == (1, inf)


def test_a_slot_that_others_are_above_the_bill_in_costs_fill_none_of_its_own() -> None:
    expected = [90] + [0] * (MONTH - 1)
    after = headroom(LinkMonth(MONTH, [9, 0], [90, 0], expected), 95)
    assert after.free_slots == 15
    # Others need the only free slot of the month, and are in it.
    now = headroom(LinkMonth(100, [0], [90], [90] + [0] * 99), 99)
    assert (now.free_slots, now.slot_bytes) == (0, inf)


def test_in_the_first_day_of_a_link_that_nobody_watched_no_slot_is_free() -> None:
    day = [0] * SLOTS_OF_DAY
    assert headroom(LinkMonth(MONTH, day, day), 95).slot_bytes == 0
    # Not even one that others were busy in.
    busy = headroom(LinkMonth(MONTH, [0] * 20, [0] * 19 + [90]), 95)
    assert (busy.free_slots, busy.slot_bytes) == (0, 0)
    late = LinkMonth(MONTH, [0] * 4000, [0] * 4000, watched_from=4000 - SLOTS_OF_DAY)
    assert headroom(late, 95).slot_bytes == 0


def test_after_a_day_half_of_the_free_slots_are_used_or_what_twice_the_others_need_leaves() -> None:
    seen = [0] * (SLOTS_OF_DAY + 1)
    # 432 are free; 29 days are left.
    assert headroom(LinkMonth(MONTH, seen, seen), 95).free_slots == (216 + 28) // 29
    # 6 slots a day, twice that for 29 days: 348 and 6 of 432 are left to them.
    some = [90] * 6 + [0] * (SLOTS_OF_DAY - 5)
    others = 6 + -(-2 * 6 * (MONTH - 289) // 289)
    expected = -(-(432 - others) // 29)
    assert headroom(LinkMonth(MONTH, seen, some), 95).free_slots == expected
    busy = [90] * 10 + [0] * (SLOTS_OF_DAY - 9)
    assert headroom(LinkMonth(MONTH, seen, busy), 95).free_slots == 0


def test_of_a_month_that_was_half_over_when_watching_began_half_the_free_slots_are_gone() -> None:
    known = [0] * (MONTH // 2 + SLOTS_OF_DAY + 1)
    # 432 are free, 216 of them may be gone, and all of the rest may be needed by others.
    link = LinkMonth(MONTH, known, known, watched_from=MONTH // 2)
    assert headroom(link, 95).free_slots == 0
    third = [0] * (MONTH // 4 + SLOTS_OF_DAY + 1)
    link = LinkMonth(MONTH, third, third, watched_from=MONTH // 4)
    assert headroom(link, 95).free_slots == -(-(432 - 108 - 216) // 22)


def test_others_that_outdo_their_forecast_are_left_more_than_it_says() -> None:
    # Six slots an evening were expected, and twelve are seen.
    expected = ([0] * 240 + [90] * 6 + [0] * 42) * 30
    more = [0] * 240 + [90] * 12 + [0] * 36 + [0]
    link = LinkMonth(MONTH, [0] * 289, more, expected)
    needed = 12 + 29 * 6 * 3
    assert needed > 432
    assert headroom(link, 95).free_slots == 0
    as_expected = LinkMonth(MONTH, [0] * 289, expected[:289], expected)
    assert headroom(as_expected, 95).free_slots == -(-(432 - 180) // 29)
    less = LinkMonth(MONTH, [0] * 289, [0] * 289, expected)
    assert headroom(less, 95).free_slots == -(-(432 - 174) // 29)


def test_before_it_is_watched_a_link_did_as_it_was_expected_to() -> None:
    expected = ([0] * 240 + [90] * 12 + [0] * 36) * 30
    now = 20 * SLOTS_OF_DAY + 1
    others = [0] * (10 * SLOTS_OF_DAY) + expected[10 * SLOTS_OF_DAY : now]
    link = LinkMonth(MONTH, [0] * now, others, expected, watched_from=10 * SLOTS_OF_DAY)
    assert headroom(link, 95).free_slots == -(-(432 - 360) // 10)


def test_nothing_is_added_in_the_slots_that_others_will_need() -> None:
    # Last month others were busy for an hour each evening: 30 hours of the 36 that are free.
    evening = [0] * 240 + [90] * 12 + [0] * 36
    link = LinkMonth(MONTH, [0], [0], expected=evening * 30)
    assert headroom(link, 95).free_slots == (432 - 360 + 29) // 30
    longer = [0] * 240 + [90] * 15 + [0] * 33
    assert headroom(LinkMonth(MONTH, [0], [0], expected=longer * 30), 95).slot_bytes == 0


def test_what_may_come_until_a_window_closes_counts_free_slots_and_paid_ones() -> None:
    link = LinkMonth(MONTH, [0], [0], [0] * MONTH)
    assert bytes_until(link, headroom(link, 95), slots=12, rate_bytes_per_s=10) == 12 * SLOT_S * 10
    assert bytes_until(link, headroom(link, 95), slots=100, rate_bytes_per_s=10) == 15 * SLOT_S * 10
    assert bytes_until(link, headroom(link, 95), slots=12, rate_bytes_per_s=inf) == inf
    busy = LinkMonth(MONTH, [0] * 2000, [200] * 432 + [100] * 1558 + [40] * 10)
    assert bytes_until(busy, headroom(busy, 95), slots=10, rate_bytes_per_s=inf) == 0
    calm = LinkMonth(MONTH, [0] * 2000, [200] * 432 + [100] * 1548 + [40] * 20)
    assert bytes_until(calm, headroom(calm, 95), slots=10, rate_bytes_per_s=inf) == 500
    assert bytes_until(calm, headroom(calm, 95), slots=10, rate_bytes_per_s=0.1) == 300


@pytest.mark.parametrize("count", [0, 101])
def test_a_month_of_other_slots_than_it_has_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=r"1\.\.100"):
        LinkMonth(100, [0] * count, [0] * count)


@pytest.mark.parametrize("watched_from", [-1, 11])
def test_a_month_that_is_watched_from_no_slot_of_it_is_refused(watched_from: int) -> None:
    with pytest.raises(ValueError, match=r"watched_from is .*, expected 0\.\.10"):
        LinkMonth(100, [0] * 10, [0] * 10, watched_from=watched_from)


@given(
    st.lists(st.sampled_from([0, 0, 0, 10, 20, 50]), min_size=40, max_size=SLOTS_OF_DAY),
    st.sampled_from([1, 50, 90, 95, 99, 100]),
    st.lists(st.sampled_from([0, 5, 60, 500]), min_size=1, max_size=20),
)
def test_the_fill_raises_no_bill_of_which_nothing_is_known(
    others: list[int], percentile: int, greed: list[int]
) -> None:
    fill: list[int] = []
    for i in range(len(others)):
        link = LinkMonth(len(others), [*fill, 0], others[: i + 1])
        fill.append(int(min(greed[i % len(greed)], headroom(link, percentile).slot_bytes)))
    total = [mine + theirs for mine, theirs in zip(fill, others, strict=True)]
    slots = len(others)
    assert billed_bytes(total, slots, percentile) == billed_bytes(others, slots, percentile)


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
