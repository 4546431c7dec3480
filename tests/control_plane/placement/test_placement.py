import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_control_plane.placement.placement import Site, assign
from sluice_control_plane.placement.rendezvous import Member, bucket_of, rank

SITE_A = Site("site-a", (Member("a-1", 100), Member("a-2", 100), Member("a-3", 100)))
SITE_B = Site("site-b", (Member("b-1", 100),))
TITLES = st.lists(st.from_regex(r"[a-z0-9]{1,6}", fullmatch=True), unique=True, max_size=20)


@given(TITLES, st.integers(min_value=1, max_value=4))
def test_every_site_holds_as_many_copies_as_it_can(titles: list[str], copies: int) -> None:
    assigned = assign(titles, (SITE_A, SITE_B), copies)
    for site in (SITE_A, SITE_B):
        for title in titles:
            held = [m.appliance_id for m in site.members if title in assigned[m.appliance_id]]
            assert len(held) == min(copies, len(site.members))


@given(TITLES)
def test_the_copies_are_where_clients_are_sent_first(titles: list[str]) -> None:
    assigned = assign(titles, (SITE_A,), copies=2)
    for title in titles:
        first, second, third = rank(bucket_of(title), SITE_A.members)
        assert title in assigned[first]
        assert title in assigned[second]
        assert title not in assigned[third]


@given(TITLES)
def test_a_new_box_moves_only_the_titles_that_it_takes(titles: list[str]) -> None:
    grown = Site("site-a", (*SITE_A.members, Member("a-4", 100)))
    before = assign(titles, (SITE_A,), copies=2)
    after = assign(titles, (grown,), copies=2)
    taken = set(after["a-4"])
    for member in SITE_A.members:
        lost = set(before[member.appliance_id]) - set(after[member.appliance_id])
        gained = set(after[member.appliance_id]) - set(before[member.appliance_id])
        assert lost <= taken
        assert not gained


def test_a_box_that_holds_nothing_is_told_so() -> None:
    assert assign([], (SITE_A, SITE_B), copies=2) == {"a-1": (), "a-2": (), "a-3": (), "b-1": ()}


def test_no_copies_at_all_is_a_mistake_and_not_a_plan_to_delete() -> None:
    with pytest.raises(ValueError, match="copies is 0, expected at least 1"):
        assign(["sintel"], (SITE_A,), copies=0)
