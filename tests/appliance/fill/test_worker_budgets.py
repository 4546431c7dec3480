"""The fill worker keeps to the link's bill and stops where it does not pay, on simulated time."""

import asyncio
from dataclasses import replace

from appliance.fill.test_worker import FILM, NOON, SHORT, Rig, manifest
from appliance.fill.test_worker_policy import arrived, under, with_priority

from sluice_appliance.fill.link_book import Month
from sluice_appliance.fill.percentile import SLOT_S, month_of
from sluice_appliance.fill.policy import FillPolicy, Priority
from sluice_appliance.fill.roi import FillRoi
from sluice_appliance.store.layout import ObjectHeader

DAY_S = 86_400.0
OVER_BILL = "sluice_appliance_fill_over_bill_bytes_total"
# At the 100th no slot is free: the busiest one is the bill.
BILLED = FillPolicy(billed_percentile=100)
PAID_BYTES = 2000


def with_history(rig: Rig, *, quiet_slots: int = 24) -> None:
    """Others carried PAID_BYTES in each slot of this month and of the one before, but of the last ones."""
    begins_at, slots = month_of(NOON)
    before_at, slots_before = month_of(begins_at - 1)
    present = int((NOON - begins_at) // SLOT_S)
    others = [PAID_BYTES] * (present - quiet_slots) + [0] * quiet_slots
    rig.books.accounts.link.months = [
        Month(before_at, slots_before, 0, [0] * slots_before, [PAID_BYTES] * slots_before),
        Month(begins_at, slots, 0, [0] * present, others),
    ]


def slots_carried(rig: Rig) -> list[int]:
    month = rig.books.accounts.link.months[-1]
    return [mine + theirs for mine, theirs in zip(month.fill, month.others, strict=True)]


def test_fill_waits_while_the_five_minutes_have_what_is_paid_for_and_the_bill_stays() -> None:
    async def story(rig: Rig) -> None:
        with_history(rig)
        rig.worker.want(under(BILLED, manifest(1, film=FILM)))
        await asyncio.sleep(SLOT_S - 30)
        came = arrived(rig)
        assert 0.9 * PAID_BYTES <= came <= PAID_BYTES
        assert rig.worker.policy == BILLED
        await asyncio.sleep(3 * SLOT_S)
        assert rig.complete() == ("film/v1",)
        assert max(slots_carried(rig)) == PAID_BYTES
        assert rig.counters.totals()[OVER_BILL] == 0

    Rig().live(story)


def test_what_others_bring_in_the_same_five_minutes_is_left_to_them() -> None:
    async def story(rig: Rig) -> None:
        with_history(rig)
        await asyncio.sleep(1)
        rig.others = 1500
        await asyncio.sleep(3)
        rig.worker.want(under(BILLED, manifest(1, film=FILM)))
        await asyncio.sleep(SLOT_S - 30)
        assert arrived(rig) <= 0.9 * PAID_BYTES - 1500 + 200

    Rig().live(story)


def test_an_emergency_comes_whatever_the_bill_and_is_counted_as_dearer() -> None:
    async def story(rig: Rig) -> None:
        wanted = with_priority(manifest(1, short=SHORT), Priority.EMERGENCY)
        film = manifest(1, film=FILM)
        # A new box on a billed link: nothing is known to be paid for.
        rig.worker.want(under(BILLED, replace(wanted, titles=wanted.titles + film.titles)))
        await asyncio.sleep(60)
        assert rig.complete() == ("short/v1",)
        assert arrived(rig) == len(SHORT[0])
        assert rig.counters.totals()[OVER_BILL] == len(SHORT[0])
        assert rig.worker.postponed_titles == 1

    Rig().live(story)


def test_fill_that_does_not_pay_stops_but_for_releases_and_goes_on_when_it_pays_again() -> None:
    async def story(rig: Rig) -> None:
        rig.books.accounts.roi = FillRoi(
            began_at=-40 * DAY_S,
            at=0.0,
            filled_bytes=1e6,
            offloaded_bytes=5e5,
            below_since=-3 * DAY_S,
            is_stopped=True,
        )
        policy = FillPolicy(stop_below_unit_roi=True)
        film = manifest(1, film=FILM)
        release = with_priority(manifest(1, short=SHORT), Priority.NEW_RELEASE)
        rig.worker.want(under(policy, replace(film, titles=film.titles + release.titles)))
        await asyncio.sleep(120)
        assert rig.complete() == ("short/v1",)
        assert rig.worker.postponed_titles == 1
        rig.sent += int(1e6)
        await asyncio.sleep(120)
        assert rig.complete() == ("film/v1", "short/v1")

    Rig().live(story)


def test_without_the_policy_fill_that_does_not_pay_goes_on() -> None:
    async def story(rig: Rig) -> None:
        rig.books.accounts.roi = FillRoi(-40 * DAY_S, 0.0, 1e6, 0.0, -3 * DAY_S, True)
        rig.worker.want(manifest(1, film=FILM))
        await asyncio.sleep(60)
        assert rig.complete() == ("film/v1",)

    Rig().live(story)


def test_a_round_that_finds_everything_in_place_reads_no_page_of_the_store() -> None:
    async def story(rig: Rig) -> None:
        looks = 0
        contents = rig.store.contents

        async def counted() -> object:
            nonlocal looks
            looks += 1
            return await contents()

        rig.store.contents = counted  # type: ignore[method-assign, assignment]
        arriving: dict[str, dict[ObjectHeader, int]] = {"ssd": {}}

        async def nothing_arrives() -> dict[str, dict[ObjectHeader, int]]:
            return arriving

        rig.store.arriving = nothing_arrives  # type: ignore[method-assign]
        rig.worker.want(manifest(1, film=FILM))
        await asyncio.sleep(5)
        assert rig.complete() == ("film/v1",)
        before = looks
        for revision in range(2, 12):
            rig.worker.want(manifest(revision, film=FILM))
            await asyncio.sleep(1)
        assert looks == before

    Rig().live(story)
