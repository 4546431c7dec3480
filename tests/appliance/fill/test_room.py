"""The room on each shelf while a plan is made."""

from appliance.fill.test_plan import CLOSED, evicted, planned, shelf, title

from sluice_appliance.fill.room import Room
from sluice_appliance.fill.shelves import Partial, Shelf, Tier
from sluice_appliance.fill.survey import survey
from sluice_appliance.fill.tiers import take

BIG, SMALL = title("big", 60), title("small", 20, 20, 20)


def room() -> Room:
    """Of 80 bytes 20 are free, and 60 may be let go."""
    shelves = [shelf(80, SMALL.objects)]
    standings, former, _ = survey([BIG, SMALL], shelves)
    return Room(shelves, standings, take([BIG, SMALL], standings, shelves), former)


def test_nothing_is_let_go_where_all_of_it_would_not_be_room_enough() -> None:
    here = room()
    assert not here.make(81, 0, may_evict=True)
    assert (here.evicted, here.free, here.evictable) == ([], [20], [60])
    assert here.make(80, 0, may_evict=True)
    assert (len(here.evicted), here.free, here.evictable) == (3, [0], [0])


def test_no_more_is_let_go_than_room_is_needed_for() -> None:
    here = room()
    assert here.make(20, 0, may_evict=True)
    assert here.evicted == []
    assert here.make(1, 0, may_evict=True)
    assert [one.key for one in here.evicted] == ["small/v1/2.mp4"]
    assert (here.free, here.evictable) == ([19], [40])


def test_nothing_is_let_go_where_that_is_not_allowed() -> None:
    here = room()
    assert not here.make(21, 0, may_evict=False)
    assert (here.evicted, here.free) == ([], [20])


def test_what_has_come_of_other_bytes_is_of_no_use() -> None:
    other = title("film", 50, version="v1").objects[0]
    wanted = title("film", 40)
    here = Shelf(Tier.SSD, 100, {}, {other.key: Partial(other, 30)})
    assert [fetch.take_bytes for fetch in planned([wanted], here).fetch] == [40]


def test_what_was_given_up_is_fetched_from_its_beginning() -> None:
    begun, whole = title("begun", 40), title("whole", 60)
    part = Partial(begun.objects[0], 35)
    here = Shelf(Tier.SSD, 90, {one.key: one for one in whole.objects}, {part.header.key: part})
    plan = planned([begun, whole], here)
    assert [fetch.take_bytes for fetch in plan.fetch] == [40]
    assert evicted(plan) == ["whole/v1/0.mp4"]


def test_a_shelf_that_shrank_a_little_loses_no_more_than_that() -> None:
    first, without = title("first", 10), title("without", 10, 10, 10)
    plan = planned([first, without], shelf(35, [*first.objects, *without.objects]), may=CLOSED)
    assert evicted(plan) == ["without/v1/2.mp4"]


def test_what_has_come_is_not_given_up_for_the_last_piece_of_it() -> None:
    film, without = title("film", 100), title("without", 20)
    part = Partial(film.objects[0], 81)
    held = {one.key: one for one in without.objects}
    here = Shelf(Tier.SSD, 100, held, {part.header.key: part})
    closed = planned([film, without], here, may=CLOSED)
    assert (closed.evict, closed.fetch, closed.awaited) == ((), (), film.objects)
    # The next part makes the room.
    plan = planned([film, without], here)
    assert [fetch.take_bytes for fetch in plan.fetch] == [19]
    assert evicted(plan) == ["without/v1/0.mp4"]
