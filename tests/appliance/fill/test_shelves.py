"""The disks of the box as the plan sees them."""

import random

from appliance.fill.test_plan import header, holding, title
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.fill.plan import plan_fill
from sluice_appliance.fill.shelves import (
    DiskContent,
    Partial,
    Shelf,
    content_of,
    holdings,
    shelve,
)
from sluice_appliance.store.disks import DiskContents, DiskState, DiskStatus, Tier
from sluice_appliance.store.layout import ObjectHeader

FILM = holding(title("film", 10))
PART = Partial(header("b", 0, 9), 4)


def disk(
    state: DiskState = DiskState.IN_USE, tier: Tier = Tier.SSD, capacity_bytes: int = 100
) -> DiskContent:
    return DiskContent(tier, capacity_bytes, FILM, {PART.header.key: PART}, state)


def shelved(disks: list[DiskContent], *, largest_bytes: int) -> tuple[Shelf, ...]:
    return shelve(disks, holdings(disks), largest_bytes=largest_bytes)


def test_disks_of_one_kind_are_one_shelf_and_the_fastest_stands_first() -> None:
    shelves = shelved([disk(tier=Tier.HDD), disk()], largest_bytes=10)
    assert [(shelf.tier, shelf.capacity_bytes) for shelf in shelves] == [
        (Tier.SSD, 100),
        (Tier.HDD, 100),
    ]


def test_a_disk_that_failed_holds_nothing_and_has_no_room() -> None:
    assert shelved([disk(DiskState.FAILED)], largest_bytes=10) == ()


def test_a_disk_that_is_only_read_serves_what_it_holds_and_has_no_room() -> None:
    assert shelved([disk(DiskState.READ_ONLY)], largest_bytes=10) == (
        Shelf(Tier.SSD, 0, {}, {}, FILM),
    )


def test_a_disk_is_planned_with_as_the_store_tells_of_it() -> None:
    status = DiskStatus("/srv/a", Tier.HDD, DiskState.READ_ONLY, "EROFS", 100, 14, 1)
    told = content_of(DiskContents(status, FILM, {PART.header: PART.arrived_bytes}))
    assert told == disk(DiskState.READ_ONLY, Tier.HDD)


@given(
    st.lists(st.integers(0, 100), min_size=1, max_size=5),
    st.lists(st.integers(1, 40), min_size=1, max_size=40),
    st.integers(0, 2**32),
)
def test_whatever_disk_each_object_went_to_the_next_one_fits_on_one_of_them(
    capacities: list[int], sizes: list[int], seed: int
) -> None:
    rng = random.Random(seed)
    titles = [title(f"t{i}", size) for i, size in enumerate(sizes)]
    disks = [DiskContent(Tier.SSD, capacity, {}) for capacity in capacities]
    plan = plan_fill(titles, shelved(disks, largest_bytes=max(sizes)))
    free = dict(enumerate(capacities))
    for fetch in plan.fetch:
        fits = [i for i, left in free.items() if fetch.wanted.size_bytes <= left]
        assert fits, f"seed {seed}"
        free[rng.choice(fits)] -= fetch.wanted.size_bytes


def test_what_a_failed_disk_held_is_fetched_again_for_the_disks_that_are_left() -> None:
    wanted: list[ObjectHeader] = list(FILM.values())
    disks = [disk(DiskState.FAILED), DiskContent(Tier.SSD, 100, {})]
    plan = plan_fill([title("film", 10)], shelved(disks, largest_bytes=10))
    assert [fetch.wanted for fetch in plan.fetch] == wanted
