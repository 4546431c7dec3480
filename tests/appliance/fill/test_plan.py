"""What to fetch, what to let go and what to move."""

from collections.abc import Iterable
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.fill.budgets import EVERYTHING, Allowance, Budget, Wait
from sluice_appliance.fill.manifest import WantedTitle
from sluice_appliance.fill.plan import FillPlan, plan_fill
from sluice_appliance.fill.policy import Priority
from sluice_appliance.fill.shelves import Partial, Shelf, Tier
from sluice_appliance.object_key import parse_key
from sluice_appliance.store.layout import ObjectHeader, ObjectKey

CLOSED = Allowance(normal=Budget(0, 0), wait=Wait.WINDOW)


def header(
    title: str, number: int, size_bytes: int, *, digest: int = 0, version: str = "v1"
) -> ObjectHeader:
    key = parse_key(f"{title}/{version}/{number}.mp4")
    return ObjectHeader(key, size_bytes, bytes([digest]) * 32, "video/mp4")


def title(
    name: str,
    *sizes: int,
    demand: float = 0,
    priority: Priority = Priority.NORMAL,
    version: str = "v1",
) -> WantedTitle:
    objects = tuple(header(name, i, size, version=version) for i, size in enumerate(sizes))
    return WantedTitle(f"titles/{name}", version, objects, demand, priority)


def holding(*titles: WantedTitle) -> dict[ObjectKey, ObjectHeader]:
    return {wanted.key: wanted for title in titles for wanted in title.objects}


def shelf(capacity_bytes: int, held: Iterable[ObjectHeader] = (), tier: Tier = Tier.SSD) -> Shelf:
    return Shelf(tier, capacity_bytes, {one.key: one for one in held})


def planned(
    titles: list[WantedTitle],
    *shelves: Shelf,
    may: Allowance = EVERYTHING,
) -> FillPlan:
    return plan_fill(titles, shelves, may)


def may_bring(left: float, whole: float | None = None) -> Allowance:
    return Allowance(normal=Budget(left, left if whole is None else whole))


def fetched(plan: FillPlan) -> list[str]:
    return [fetch.wanted.key for fetch in plan.fetch]


def evicted(plan: FillPlan) -> list[str]:
    return [eviction.key for eviction in plan.evict]


def waits(plan: FillPlan) -> dict[str, Wait]:
    return {each.title.title.removeprefix("titles/"): each.wait for each in plan.postponed}


def test_of_an_object_that_two_tiers_hold_the_slower_ones_is_let_go() -> None:
    film = title("film", 5, 5)
    shelves = (shelf(100, film.objects[1:]), shelf(100, film.objects, Tier.HDD))
    plan = planned([film], *shelves)
    assert [(one.key, one.tier) for one in plan.evict] == [("film/v1/1.mp4", Tier.HDD)]


def test_the_most_wanted_title_is_fetched_first_and_in_the_manifests_order() -> None:
    plan = planned([title("b", 1, 2), title("a", 3)], shelf(100))
    assert fetched(plan) == ["b/v1/0.mp4", "b/v1/1.mp4", "a/v1/0.mp4"]
    assert [fetch.take_bytes for fetch in plan.fetch] == [1, 2, 3]


def test_what_is_held_is_not_fetched_again() -> None:
    film = title("film", 10, 20)
    plan = planned([film], shelf(100, film.objects[:1]))
    assert fetched(plan) == ["film/v1/1.mp4"]
    assert plan.evict == ()


def test_what_nobody_wants_any_more_is_let_go() -> None:
    old = title("old", 10)
    plan = planned([title("new", 10)], shelf(100, old.objects))
    assert evicted(plan) == ["old/v1/0.mp4"]


def test_an_object_with_other_bytes_than_the_manifests_is_let_go_and_fetched() -> None:
    other = header("film", 0, 10, digest=1)
    plan = planned([title("film", 10)], shelf(100, [other]))
    assert evicted(plan) == fetched(plan) == [other.key]


def test_a_title_without_room_is_passed_over_and_a_smaller_one_behind_it_is_taken() -> None:
    plan = planned([title("big", 90), title("huge", 50), title("small", 10)], shelf(100))
    assert fetched(plan) == ["big/v1/0.mp4", "small/v1/0.mp4"]
    assert [title.title for title in plan.without_room] == ["titles/huge"]


def test_a_title_that_lost_its_room_stays_held_as_long_as_it_is_in_nobodys_way() -> None:
    partly = title("partly", 40, 40)
    plan = planned([title("first", 60), partly], shelf(100, partly.objects[:1]))
    assert plan.evict == ()
    plan = planned([title("first", 61), partly], shelf(100, partly.objects[:1]))
    assert evicted(plan) == ["partly/v1/0.mp4"]


def test_nothing_is_evicted_for_a_film_that_cannot_arrive_in_time() -> None:
    new, old = title("new", 40, 40), title("old", 50, 50)
    held = shelf(100, old.objects)
    late = planned([new, old], held, may=may_bring(60, whole=100))
    assert late.evict == ()
    assert waits(late) == {"new": Wait.BUDGET}
    in_time = planned([new, old], held, may=may_bring(80, whole=100))
    assert evicted(in_time) == ["old/v1/0.mp4", "old/v1/1.mp4"]
    assert fetched(in_time) == ["new/v1/0.mp4", "new/v1/1.mp4"]


def test_a_title_that_does_not_come_whole_tonight_takes_the_room_that_is_free() -> None:
    plan = planned([title("new", 40, 40)], shelf(100), may=may_bring(60, whole=100))
    assert [fetch.take_bytes for fetch in plan.fetch] == [40, 20]
    assert waits(plan) == {"new": Wait.BUDGET}


def test_a_season_larger_than_any_night_makes_room_for_the_part_that_comes() -> None:
    season, old = title("season", 50, 50), title("old", 20, 20, 20, 20, 20)
    plan = planned([season, old], shelf(100, old.objects), may=may_bring(40))
    assert [fetch.take_bytes for fetch in plan.fetch] == [40]
    assert len(plan.evict) == 2


def test_a_film_larger_than_any_night_makes_room_for_no_more_of_it_than_comes() -> None:
    film, old = title("film", 100), title("old", *[10] * 10)
    plan = planned([film, old], shelf(100, old.objects), may=may_bring(35))
    assert [fetch.take_bytes for fetch in plan.fetch] == [35]
    assert evicted(plan) == [f"old/v1/{i}.mp4" for i in (6, 7, 8, 9)]


def test_the_former_version_of_a_film_stays_until_the_new_one_is_whole() -> None:
    former, new = title("film", 40, 10), title("film", 30, 20, version="v2")
    coming = planned([new], shelf(100, former.objects))
    assert (len(coming.fetch), coming.evict) == (2, ())
    half = planned([new], shelf(100, [*former.objects, new.objects[0]]), may=CLOSED)
    assert half.evict == ()
    whole = planned([new], shelf(100, [*former.objects, *new.objects]))
    assert evicted(whole) == ["film/v1/0.mp4", "film/v1/1.mp4"]


def test_the_former_version_of_a_film_goes_only_for_what_arrives() -> None:
    former, new = title("film", 40, 40), title("film", 50, version="v2")
    full = shelf(100, former.objects)
    assert planned([new], full, may=CLOSED).evict == ()
    assert planned([new], full, may=may_bring(49, whole=60)).evict == ()
    assert evicted(planned([new], full)) == ["film/v1/1.mp4"]


def test_former_versions_go_before_what_is_wanted_and_the_least_wanted_films_first() -> None:
    first, second = title("z", 10, version="v2"), title("a", 10, version="v2")
    third = title("without-room", 30)
    news = title("news", 25, priority=Priority.NEW_RELEASE)
    held = [*title("z", 10).objects, *title("a", 10).objects, third.objects[0]]
    may = Allowance(urgent=Budget(35, 35))
    plan = planned([first, second, third, news], shelf(50, held), may=may)
    assert evicted(plan) == ["a/v1/0.mp4", "without-room/v1/0.mp4", "z/v1/0.mp4"]
    only = planned([first, second, third], shelf(60, held), may=may_bring(10))
    assert fetched(only) == ["z/v2/0.mp4"]
    assert only.evict == ()
    less = planned([first, second, third], shelf(50, held), may=may_bring(10))
    assert evicted(less) == ["a/v1/0.mp4"]


def test_of_a_former_version_on_two_tiers_the_slower_copy_is_let_go() -> None:
    former, new = title("film", 10), title("film", 10, version="v2")
    shelves = (shelf(100, former.objects), shelf(100, former.objects, Tier.HDD))
    plan = planned([new], *shelves, may=CLOSED)
    assert [(one.key, one.tier) for one in plan.evict] == [("film/v1/0.mp4", Tier.HDD)]


def test_an_object_larger_than_any_night_goes_on_where_the_last_night_ended() -> None:
    film = title("film", 100)
    here = Shelf(Tier.SSD, 120, {}, {film.objects[0].key: Partial(film.objects[0], 70)})
    plan = planned([film], here, may=may_bring(40))
    assert [fetch.take_bytes for fetch in plan.fetch] == [30]
    assert plan.postponed == ()


def test_what_has_come_of_a_film_is_kept_while_the_window_is_closed() -> None:
    film = title("film", 100)
    plan = planned(
        [film],
        Shelf(Tier.SSD, 120, {}, {film.objects[0].key: Partial(film.objects[0], 70)}),
        may=CLOSED,
    )
    assert plan.fetch == ()
    assert plan.awaited == (film.objects[0],)
    assert waits(plan) == {"film": Wait.WINDOW}


def test_only_an_emergency_comes_while_the_window_is_closed() -> None:
    titles = [
        title("film", 10),
        title("news", 10, priority=Priority.NEW_RELEASE),
        title("fix", 10, priority=Priority.EMERGENCY),
    ]
    plan = planned(titles, shelf(100), may=CLOSED)
    assert fetched(plan) == ["fix/v1/0.mp4"]
    assert waits(plan) == {"news": Wait.WINDOW, "film": Wait.WINDOW}


def test_an_emergency_passes_the_links_bill_and_the_plan_says_by_how_much() -> None:
    titles = [title("film", 10), title("fix", 30, priority=Priority.EMERGENCY)]
    plan = planned(titles, shelf(100), may=Allowance(unbilled_bytes=25))
    assert (fetched(plan), plan.over_bill_bytes) == (["fix/v1/0.mp4"], 5)
    assert waits(plan) == {"film": Wait.BUDGET}
    plan = planned(titles, shelf(100), may=Allowance(unbilled_bytes=40))
    assert (len(plan.fetch), plan.over_bill_bytes) == (2, 0)


def test_emergencies_come_before_new_releases_and_those_before_the_rest() -> None:
    titles = [title("film", 10), title("news", 10, priority=Priority.NEW_RELEASE)]
    titles.append(title("fix", 10, priority=Priority.EMERGENCY))
    plan = planned(titles, shelf(20))
    assert fetched(plan) == ["fix/v1/0.mp4", "news/v1/0.mp4"]
    assert [without.title for without in plan.without_room] == ["titles/film"]


def test_where_filling_does_not_pay_only_what_is_urgent_comes() -> None:
    titles = [title("film", 10), title("news", 10, priority=Priority.NEW_RELEASE)]
    plan = planned(titles, shelf(100), may=Allowance(is_proactive=False))
    assert fetched(plan) == ["news/v1/0.mp4"]
    assert waits(plan) == {"film": Wait.ROI}


def test_flash_takes_what_most_is_asked_of_for_each_byte_and_the_slow_disks_the_rest() -> None:
    titles = [title("long", 80, demand=8), title("clip", 10, demand=5), title("old", 10)]
    plan = planned(titles, shelf(20), shelf(100, tier=Tier.HDD))
    assert {fetch.title: fetch.tier for fetch in plan.fetch} == {
        "titles/long": Tier.HDD,
        "titles/clip": Tier.SSD,
        "titles/old": Tier.HDD,
    }


def test_two_titles_of_like_demand_do_not_change_places() -> None:
    on_flash, on_disk = title("a", 10, demand=10), title("b", 10, demand=19)
    shelves = (shelf(10, on_flash.objects), shelf(100, on_disk.objects, Tier.HDD))
    plan = planned([on_disk, on_flash], *shelves)
    assert plan.promote == plan.demote == ()


def test_a_title_of_far_more_demand_takes_the_place_on_flash() -> None:
    on_flash, on_disk = title("a", 10, demand=10), title("b", 10, demand=21)
    shelves = (shelf(10, on_flash.objects), shelf(100, on_disk.objects, Tier.HDD))
    plan = planned([on_disk, on_flash], *shelves)
    assert [move.header for move in plan.demote] == list(on_flash.objects)
    assert [move.header for move in plan.promote] == list(on_disk.objects)
    assert (plan.fetch, plan.evict) == ((), ())


def test_nothing_is_promoted_once_flash_was_written_as_much_as_it_may_be() -> None:
    hot = title("hot", 10, demand=1)
    shelves = (shelf(10), shelf(100, hot.objects, Tier.HDD))
    plan = planned([hot], *shelves, may=Allowance(flash=Budget(9, 50)))
    assert plan.promote == ()


def test_what_flash_may_not_take_today_goes_to_a_slow_disk() -> None:
    hot = title("hot", 10, demand=1)
    shelves = (shelf(10), shelf(100, tier=Tier.HDD))
    plan = planned([hot], *shelves, may=Allowance(flash=Budget(9, 50)))
    assert [fetch.tier for fetch in plan.fetch] == [Tier.HDD]
    alone = planned([hot], shelf(10), may=Allowance(flash=Budget(0, 50)))
    assert waits(alone) == {"hot": Wait.FLASH}


def test_what_has_begun_to_come_goes_on_where_it_began() -> None:
    hot = title("hot", 10, demand=1)
    slow = Shelf(Tier.HDD, 100, {}, {hot.objects[0].key: Partial(hot.objects[0], 4)})
    plan = planned([hot], shelf(100), slow)
    assert [(fetch.tier, fetch.take_bytes) for fetch in plan.fetch] == [(Tier.HDD, 6)]


def test_flash_is_not_emptied_for_what_a_slow_disk_serves_meanwhile() -> None:
    hot, without_room = title("hot", 20, demand=1), title("without-room", 20, 20)
    shelves = (shelf(30, without_room.objects[:1]), shelf(20, hot.objects, Tier.HDD))
    plan = planned([hot, without_room], *shelves)
    assert (plan.promote, plan.evict) == ((), ())


def test_what_a_disk_that_shrank_let_go_is_not_moved_too() -> None:
    film = title("film", 10, demand=1)
    plan = planned([film], shelf(10), shelf(0, film.objects, Tier.HDD))
    assert evicted(plan) == ["film/v1/0.mp4"]
    assert plan.promote == ()


def test_nothing_goes_for_a_part_of_a_season_whose_rest_has_no_room_yet() -> None:
    # The season's place is taken by what waits for flash to be written again.
    hot, season = title("hot", 60, demand=1), title("season", 30, 50)
    without_room = title("without-room", 20, 10)
    slow = shelf(100, [*hot.objects, without_room.objects[0]], Tier.HDD)
    may = Allowance(normal=Budget(35, 35), flash=Budget(0, 60))
    plan = planned([hot, season, without_room], shelf(60), slow, may=may)
    assert (plan.fetch, plan.evict) == ((), ())
    assert waits(plan) == {"season": Wait.ROOM}


def test_the_rest_of_a_title_comes_to_the_disks_that_hold_most_of_it() -> None:
    hot = title("hot", 10, 20, demand=1)
    plan = planned([hot], shelf(100), shelf(100, hot.objects[1:], Tier.HDD))
    assert [fetch.tier for fetch in plan.fetch] == [Tier.HDD]
    assert plan.promote == ()


def test_a_title_that_nobody_asks_for_goes_to_flash_where_slow_disks_have_no_room() -> None:
    plan = planned([title("old", 10)], shelf(10), shelf(5, tier=Tier.HDD))
    assert [fetch.tier for fetch in plan.fetch] == [Tier.SSD]


def test_of_an_object_on_two_tiers_the_slower_copy_is_let_go() -> None:
    film = title("film", 10)
    plan = planned([film], shelf(100, film.objects), shelf(100, film.objects, Tier.HDD))
    assert [(one.key, one.tier) for one in plan.evict] == [("film/v1/0.mp4", Tier.HDD)]


def test_what_a_read_only_disk_still_serves_is_not_fetched_and_needs_no_room() -> None:
    film, other = title("film", 90), title("other", 100)
    there = Shelf(Tier.SSD, 100, {}, fixed=holding(film))
    plan = planned([film, other], there)
    assert fetched(plan) == ["other/v1/0.mp4"]


def test_a_shelf_that_shrank_lets_go_of_what_is_least_wanted() -> None:
    titles = [title("a", 10), title("b", 10), title("c", 10)]
    plan = planned(titles, shelf(20, holding(*titles).values()))
    assert evicted(plan) == ["c/v1/0.mp4"]


def test_what_has_come_in_part_is_given_up_before_what_serves() -> None:
    whole, begun = title("whole", 60), title("begun", 40)
    here = Shelf(
        Tier.SSD, 90, holding(whole), {begun.objects[0].key: Partial(begun.objects[0], 35)}
    )
    plan = planned([begun, whole], here, may=CLOSED)
    assert plan.evict == ()
    assert plan.awaited == ()


SIZES = st.integers(0, 50)
BUDGETS = st.tuples(st.integers(0, 120), st.integers(0, 120)).map(lambda b: Budget(min(b), max(b)))
ALLOWANCES = st.builds(
    Allowance,
    urgent=BUDGETS | st.just(Budget()),
    normal=BUDGETS | st.just(Budget()),
    flash=BUDGETS | st.just(Budget()),
    unbilled_bytes=st.integers(0, 120) | st.just(inf),
    is_proactive=st.booleans(),
)
TITLES = st.lists(
    st.tuples(
        st.lists(SIZES, min_size=1, max_size=4),
        st.floats(0, 100),
        st.sampled_from([Priority.NORMAL, Priority.NORMAL, *Priority]),
    ),
    max_size=8,
).map(
    lambda rows: [
        title(f"t{i}", *sizes, demand=demand, priority=priority)
        for i, (sizes, demand, priority) in enumerate(rows)
    ]
)


@st.composite
def boxes(draw: st.DrawFn) -> tuple[list[WantedTitle], list[Shelf]]:
    """Titles and shelves that hold some of them, some that are wrong and some that nobody wants."""
    titles = draw(TITLES)
    wanted = holding(*titles)
    tiers = draw(st.sampled_from([[Tier.SSD], [Tier.HDD], [Tier.SSD, Tier.HDD]]))
    shelves = []
    for tier in tiers:
        held: dict[ObjectKey, ObjectHeader] = {}
        partial: dict[ObjectKey, Partial] = {}
        for number, part in draw(st.sets(st.tuples(st.integers(0, 9), st.integers(0, 3)))):
            key = parse_key(f"t{number}/v1/{part}.mp4")
            one = wanted.get(key)
            kind = draw(st.sampled_from(["whole", "whole", "partial", "wrong", "former"]))
            if kind == "former":
                old = header(f"t{number}", part, draw(SIZES), version="v0")
                held[old.key] = old
            elif one is None or kind == "wrong":
                held[key] = header(f"t{number}", part, 7, digest=9)
            elif kind == "whole":
                held[key] = one
            else:
                partial[key] = Partial(one, draw(st.integers(0, one.size_bytes)))
        shelves.append(Shelf(tier, draw(st.integers(0, 300)), held, partial))
    return titles, shelves


@st.composite
def full_boxes(draw: st.DrawFn) -> tuple[list[WantedTitle], list[Shelf]]:
    """Shelves full of titles that are wanted less than others that are not there."""
    titles = draw(TITLES.filter(lambda titles: len(titles) > 1))
    new = draw(st.integers(1, len(titles) - 1))
    held = holding(*titles[new:])
    stored = sum(one.size_bytes for one in held.values())
    return titles, [Shelf(draw(st.sampled_from(Tier)), stored + draw(st.integers(0, 20)), held)]


BOXES = boxes() | full_boxes()


@given(BOXES, ALLOWANCES)
def test_a_plan_fits_every_disk_at_every_step(
    box: tuple[list[WantedTitle], list[Shelf]], may: Allowance
) -> None:
    titles, shelves = box
    plan = plan_fill(titles, shelves, may)
    held = {shelf.tier: dict(shelf.held) for shelf in shelves}
    partial = {
        shelf.tier: {
            p.header: p.arrived_bytes for p in shelf.partial.values() if p.header in plan.awaited
        }
        for shelf in shelves
    }

    def check() -> None:
        for shelf in shelves:
            stored = sum(one.size_bytes for one in held[shelf.tier].values())
            assert stored + sum(partial[shelf.tier].values()) <= shelf.capacity_bytes

    for eviction in plan.evict:
        del held[eviction.tier][eviction.key]
    check()
    for move in plan.demote:
        held[move.target][move.header.key] = held[move.source].pop(move.header.key)
        check()
    for fetch in plan.fetch:
        had = partial[fetch.tier].get(fetch.wanted, 0)
        partial[fetch.tier][fetch.wanted] = had + fetch.take_bytes
        assert had + fetch.take_bytes <= fetch.wanted.size_bytes
        check()
        if had + fetch.take_bytes == fetch.wanted.size_bytes:
            del partial[fetch.tier][fetch.wanted]
            assert fetch.wanted.key not in held[fetch.tier]
            held[fetch.tier][fetch.wanted.key] = fetch.wanted
    for move in plan.promote:
        held[move.target][move.header.key] = held[move.source].pop(move.header.key)
        check()
    wanted = holding(*titles)
    coming = {each.title for each in titles if not _is_whole(each, shelves)}
    assert all(
        one == wanted.get(key) or (_name(key) in coming and "/v0/" in key)
        for tier in held.values()
        for key, one in tier.items()
    )


@given(BOXES, ALLOWANCES)
def test_a_plan_fits_its_window_and_its_budgets(
    box: tuple[list[WantedTitle], list[Shelf]], may: Allowance
) -> None:
    titles, shelves = box
    plan = plan_fill(titles, shelves, may)
    priority = {each.title: each.priority for each in titles}
    takes = [(priority[fetch.title], fetch.tier, fetch.take_bytes) for fetch in plan.fetch]
    promoted = sum(move.header.size_bytes for move in plan.promote)
    assert sum(size for _, _, size in takes) <= may.urgent.left_bytes
    normal = sum(size for urgent, _, size in takes if urgent is not Priority.EMERGENCY)
    assert normal <= may.normal.left_bytes
    urgent = sum(size for urgent, _, size in takes if urgent is Priority.EMERGENCY)
    assert plan.over_bill_bytes == max(0, urgent - may.unbilled_bytes)
    assert normal <= max(0, may.unbilled_bytes - urgent)
    flash = sum(size for _, tier, size in takes if tier is Tier.SSD)
    assert flash + promoted <= may.flash.left_bytes
    if not may.is_proactive:
        assert all(urgent is not Priority.NORMAL for urgent, _, _ in takes)


@given(BOXES, ALLOWANCES)
def test_nothing_in_demand_is_evicted_for_what_cannot_arrive(
    box: tuple[list[WantedTitle], list[Shelf]], may: Allowance
) -> None:
    titles, shelves = box
    plan = plan_fill(titles, shelves, may)
    wanted = holding(*titles)
    # Of a title that is not whole players ask for the former version.
    coming = {each.title for each in titles if not _is_whole(each, shelves)}
    for shelf in shelves:
        for key, one in shelf.held.items():
            if "/v0/" in key and _name(key) in coming:
                wanted[key] = one
    for shelf in shelves:
        gone = sum(
            one.size_bytes
            for eviction in plan.evict
            if eviction.tier is shelf.tier
            and (one := shelf.held[eviction.key]) == wanted.get(eviction.key)
            # A second copy of what an earlier shelf holds is not in demand, nor is what stands under a
            # former key a second time and is another object.
            and not any(
                one == before.held.get(one.key) or ("/v0/" in one.key and one.key in before.held)
                for before in _before(shelf, shelves)
            )
        )
        if not gone or _is_over(shelf, wanted):
            continue
        # What begins to come and then waits makes no room, unless no budget is large enough for it.
        late = {
            each.title.title
            for each in plan.postponed
            if each.missing_bytes <= _whole(may, each.title, shelf)
        }
        arrives = [
            fetch.take_bytes
            for fetch in plan.fetch
            if fetch.tier is shelf.tier and fetch.title not in late
        ]
        arrives += [m.header.size_bytes for m in plan.demote if m.target is shelf.tier]
        assert sum(arrives) > 0
        # Objects are let go whole: for each that arrives at most the last is more than was needed.
        largest = max(one.size_bytes for one in shelf.held.values())
        assert gone < sum(arrives) + largest * len(arrives)


def _name(key: ObjectKey) -> str:
    return f"titles/{key.split('/')[0]}"


def _is_whole(title: WantedTitle, shelves: list[Shelf]) -> bool:
    return all(any(shelf.held.get(o.key) == o for shelf in shelves) for o in title.objects)


def _before(shelf: Shelf, shelves: list[Shelf]) -> list[Shelf]:
    return shelves[: shelves.index(shelf)]


def _is_over(shelf: Shelf, wanted: dict[ObjectKey, ObjectHeader]) -> bool:
    stored = sum(one.size_bytes for key, one in shelf.held.items() if one == wanted.get(key))
    return (
        stored + sum(partial.arrived_bytes for partial in shelf.partial.values())
        > shelf.capacity_bytes
    )


def _whole(may: Allowance, late: WantedTitle, shelf: Shelf) -> float:
    wholes = [may.urgent.whole_bytes]
    wholes.append(inf if late.priority is Priority.EMERGENCY else may.normal.whole_bytes)
    wholes.append(may.flash.whole_bytes if shelf.tier is Tier.SSD else inf)
    return min(wholes)


@given(BOXES, ALLOWANCES)
def test_the_same_input_makes_the_same_plan_whatever_the_order_of_what_is_held(
    box: tuple[list[WantedTitle], list[Shelf]], may: Allowance
) -> None:
    titles, shelves = box
    turned = [
        Shelf(
            shelf.tier,
            shelf.capacity_bytes,
            dict(reversed(list(shelf.held.items()))),
            dict(reversed(list(shelf.partial.items()))),
        )
        for shelf in shelves
    ]
    assert plan_fill(titles, shelves, may) == plan_fill(titles, turned, may)


@given(TITLES, st.integers(0, 300), st.integers(0, 300))
def test_without_limits_every_title_that_has_room_is_whole_after_a_plan(
    titles: list[WantedTitle], fast_bytes: int, slow_bytes: int
) -> None:
    shelves = [shelf(fast_bytes), shelf(slow_bytes, tier=Tier.HDD)]
    plan = plan_fill(titles, shelves)
    without = {each.title for each in plan.without_room}
    fetches = {fetch.wanted for fetch in plan.fetch}
    assert plan.postponed == ()
    for each in titles:
        assert fetches.isdisjoint(each.objects) == (each.title in without)


@given(TITLES, st.integers(0, 300), ALLOWANCES)
def test_night_after_night_all_that_has_room_comes_and_then_nothing_moves(
    titles: list[WantedTitle], capacity_bytes: int, may: Allowance
) -> None:
    whole = min(b.whole_bytes for b in (may.urgent, may.normal, may.flash))
    urgent, normal, flash = (
        Budget(b.whole_bytes, b.whole_bytes) for b in (may.urgent, may.normal, may.flash)
    )
    may = Allowance(urgent, normal, flash)
    held: dict[ObjectKey, ObjectHeader] = {}
    partial: dict[ObjectKey, Partial] = {}
    nights = 0
    while True:
        plan = plan_fill(titles, [Shelf(Tier.SSD, capacity_bytes, held, partial)], may)
        if not plan.fetch:
            break
        assert (nights := nights + 1) <= 2 + capacity_bytes / max(whole, 1) * 2 + len(titles)
        for fetch in plan.fetch:
            before = partial.pop(fetch.wanted.key, Partial(fetch.wanted, 0))
            come = before.arrived_bytes + fetch.take_bytes
            if come == fetch.wanted.size_bytes:
                held[fetch.wanted.key] = fetch.wanted
            else:
                partial[fetch.wanted.key] = Partial(fetch.wanted, come)
    assert plan.evict == ()
    if whole >= 1:
        assert plan.postponed == ()
