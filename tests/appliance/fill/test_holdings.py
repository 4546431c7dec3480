"""What stands on a shelf, by title."""

from dataclasses import replace

import pytest
from appliance.fill.test_plan import BOXES, header, title
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.fill.holdings import Holdings
from sluice_appliance.fill.manifest import WantedTitle
from sluice_appliance.fill.plan import plan_fill
from sluice_appliance.fill.shelves import Shelf, Tier
from sluice_appliance.object_key import ObjectKey
from sluice_appliance.store.layout import ObjectHeader

HEADERS = st.builds(
    header,
    st.integers(0, 9).map(lambda number: f"t{number}"),
    st.integers(0, 3),
    st.integers(1, 100),
    digest=st.integers(0, 1),
    version=st.sampled_from(["v0", "v1"]),
)
# A shelf, a place in the manifest or in what is held, and what comes: nothing is for one that goes.
CHANGES = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 40), st.none() | HEADERS | st.just("wanted")),
    max_size=8,
)


@given(BOXES, st.lists(CHANGES, min_size=1, max_size=3))
def test_a_shelf_that_was_planned_for_before_makes_the_plan_of_one_that_was_never_seen(
    box: tuple[list[WantedTitle], list[Shelf]],
    rounds: list[list[tuple[int, int, ObjectHeader | str | None]]],
) -> None:
    titles, shelves = box
    living = [replace(shelf, held=Holdings(shelf.held.values())) for shelf in shelves]
    assert plan_fill(titles, living) == plan_fill(titles, shelves)
    for changes in rounds:
        for number, place, what in changes:
            _change(living[number % len(living)].held, titles, place, what)
        fresh = [replace(shelf, held=dict(shelf.held)) for shelf in living]
        assert plan_fill(titles, living) == plan_fill(titles, fresh)
        # The last one is in demand now; its objects are the same.
        titles = [*[replace(one, demand_bytes_per_s=7.0) for one in titles[-1:]], *titles[:-1]]
        assert plan_fill(titles, living) == plan_fill(titles, fresh)


def _change(
    held: object, titles: list[WantedTitle], place: int, what: ObjectHeader | str | None
) -> None:
    assert isinstance(held, Holdings)
    wanted = [one for title in titles for one in title.objects]
    if isinstance(what, ObjectHeader):
        held.put(what)
    elif what == "wanted" and wanted:
        held.put(wanted[place % len(wanted)])
    elif held:
        held.pop(list(held)[place % len(held)])


@given(st.lists(st.tuples(st.booleans(), HEADERS)))
def test_holdings_are_what_was_put_in_and_not_taken_out(
    changes: list[tuple[bool, ObjectHeader]],
) -> None:
    holdings, known = Holdings(), dict[ObjectKey, ObjectHeader]()
    for comes, one in changes:
        if comes:
            holdings.put(one)
            known[one.key] = one
        elif one.key in known:
            assert holdings.pop(one.key) is known.pop(one.key)
        else:
            with pytest.raises(KeyError):
                holdings.pop(one.key)
        assert dict(holdings) == known
        assert len(holdings) == len(known)
        assert all(each.headers for each in holdings.titles.values())


def test_a_title_of_which_nothing_changed_is_not_looked_through_again() -> None:
    film = title("film", 10, 20)
    there = Holdings(film.objects).titles["film"]
    before = there.standing(film.objects, (0, 1))
    assert there.standing(film.objects, (0, 1)) is before
    assert there.standing(film.objects, (1, 2)).on == ((), film.objects)


def test_two_versions_of_a_title_may_be_wanted_at_once() -> None:
    old, new = title("film", 10), title("film", 20, version="v2")
    held = Holdings([*old.objects, *new.objects])
    assert plan_fill([new, old], [Shelf(Tier.SSD, 100, held)]).evict == ()
    held.pop(new.objects[0].key)
    plan = plan_fill([new, old], [Shelf(Tier.SSD, 100, held)])
    assert (plan.evict, [fetch.wanted for fetch in plan.fetch]) == ((), list(new.objects))
