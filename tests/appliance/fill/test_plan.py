"""What to fetch and what to let go."""

from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.fill.manifest import WantedTitle
from sluice_appliance.fill.plan import FillPlan, plan_fill
from sluice_appliance.object_key import parse_key
from sluice_appliance.store.layout import ObjectHeader, ObjectKey


def header(title: str, number: int, size_bytes: int, *, digest: int = 0) -> ObjectHeader:
    return ObjectHeader(
        parse_key(f"{title}/v1/{number}.mp4"), size_bytes, bytes([digest]) * 32, "video/mp4"
    )


def title(name: str, *sizes: int) -> WantedTitle:
    return WantedTitle(
        f"titles/{name}", "v1", tuple(header(name, i, size) for i, size in enumerate(sizes))
    )


def holding(*titles: WantedTitle) -> dict[ObjectKey, ObjectHeader]:
    return {wanted.key: wanted for title in titles for wanted in title.objects}


def fetched(plan: FillPlan) -> list[str]:
    return [fetch.wanted.key for fetch in plan.fetch]


def test_the_most_wanted_title_is_fetched_first_and_in_the_manifests_order() -> None:
    plan = plan_fill([title("b", 1, 2), title("a", 3)], {}, capacity_bytes=100)
    assert fetched(plan) == ["b/v1/0.mp4", "b/v1/1.mp4", "a/v1/0.mp4"]


def test_what_is_held_is_not_fetched_again() -> None:
    film = title("film", 10, 20)
    plan = plan_fill([film], {film.objects[0].key: film.objects[0]}, capacity_bytes=100)
    assert fetched(plan) == ["film/v1/1.mp4"]
    assert plan.evict == ()


def test_what_nobody_wants_any_more_is_let_go() -> None:
    old = title("old", 10)
    plan = plan_fill([title("new", 10)], holding(old), capacity_bytes=100)
    assert plan.evict == (old.objects[0].key,)


def test_an_object_with_other_bytes_than_the_manifests_is_let_go_and_fetched() -> None:
    film = title("film", 10)
    other = header("film", 0, 10, digest=1)
    plan = plan_fill([film], {other.key: other}, capacity_bytes=100)
    assert plan.evict == (other.key,)
    assert fetched(plan) == [other.key]


def test_a_title_without_room_is_passed_over_and_a_smaller_one_behind_it_is_taken() -> None:
    plan = plan_fill(
        [title("big", 90), title("huge", 50), title("small", 10)], {}, capacity_bytes=100
    )
    assert fetched(plan) == ["big/v1/0.mp4", "small/v1/0.mp4"]
    assert [title.title for title in plan.without_room] == ["titles/huge"]


def test_a_title_that_lost_its_room_stays_held_as_long_as_it_is_in_nobodys_way() -> None:
    partly = title("partly", 40, 40)
    held = {partly.objects[0].key: partly.objects[0]}
    plan = plan_fill([title("first", 60), partly], held, capacity_bytes=100)
    assert plan.evict == ()
    plan = plan_fill([title("first", 61), partly], held, capacity_bytes=100)
    assert plan.evict == (partly.objects[0].key,)


SIZES = st.integers(0, 50)
TITLES = st.lists(st.lists(SIZES, min_size=1, max_size=4), max_size=8).map(
    lambda all_sizes: [title(f"t{i}", *sizes) for i, sizes in enumerate(all_sizes)]
)


@given(
    TITLES,
    st.sets(st.tuples(st.integers(0, 9), st.integers(0, 3), st.booleans())),
    st.integers(0, 300),
)
def test_a_plan_fits_the_disk_and_lets_nothing_go_that_is_wanted_and_fits(
    titles: list[WantedTitle], held_names: set[tuple[int, int, bool]], capacity_bytes: int
) -> None:
    wanted = holding(*titles)
    held = {}
    for number, part, right in held_names:
        name = parse_key(f"t{number}/v1/{part}.mp4")
        held[name] = (
            wanted[name] if right and name in wanted else header(f"t{number}", part, 7, digest=9)
        )
    plan = plan_fill(titles, held, capacity_bytes=capacity_bytes)
    assert plan == plan_fill(titles, dict(reversed(held.items())), capacity_bytes=capacity_bytes)

    kept = {key: value for key, value in held.items() if key not in plan.evict}
    after = kept | {fetch.wanted.key: fetch.wanted for fetch in plan.fetch}
    assert sum(each.size_bytes for each in after.values()) <= capacity_bytes
    assert all(after[key] == wanted.get(key) for key in after)
    for each in titles:
        if each not in plan.without_room:
            assert all(after.get(part.key) == part for part in each.objects)
    if sum(each.size_bytes for each in wanted.values()) <= capacity_bytes:
        assert not any(held[key] == wanted.get(key) for key in plan.evict)
