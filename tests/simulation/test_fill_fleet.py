"""A small fleet fills for a month, and few bytes move when a box comes or goes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation.fill_fleet import simulate

from sluice_appliance.fill.manifest import WantedTitle
from sluice_appliance.fill.plan import plan_fill
from sluice_appliance.fill.shelves import Shelf, Tier
from sluice_appliance.object_key import parse_key
from sluice_appliance.store.layout import ObjectHeader, ObjectKey
from sluice_control_plane.placement.placement import Site, assign
from sluice_control_plane.placement.rendezvous import Member

COPIES = 2


def test_a_small_fleet_fills_for_a_month_and_every_law_holds() -> None:
    result = simulate(boxes=8, days=30, objects=1000, seed=1)
    assert result.plans == 8 * 30 - 10
    assert result.moved.laws > 10 * result.plans
    assert min(result.moved.fetched, result.moved.evicted, result.moved.promoted) > 0


def _title(number: int) -> WantedTitle:
    header = ObjectHeader(parse_key(f"t{number}/v1/a.mp4"), 1000 + number, bytes(32), "video/mp4")
    return WantedTitle(f"titles/t{number}", "v1", (header,))


TITLES = {f"t{number}": _title(number) for number in range(400)}
Held = dict[str, dict[ObjectKey, ObjectHeader]]


def _filled(members: tuple[Member, ...], held: Held) -> tuple[Held, int, int]:
    """What each box holds after its plan; bytes fetched and let go by all."""
    fetched = evicted = 0
    then: Held = {}
    for box, names in assign(TITLES, [Site("s", members)], COPIES).items():
        here = dict(held.get(box, {}))
        plan = plan_fill([TITLES[name] for name in names], [Shelf(Tier.HDD, 10**9, here)])
        evicted += sum(here.pop(each.key).size_bytes for each in plan.evict)
        for fetch in plan.fetch:
            here[fetch.wanted.key] = fetch.wanted
            fetched += fetch.take_bytes
        then[box] = here
    return then, fetched, evicted


def _bytes(held: dict[ObjectKey, ObjectHeader]) -> int:
    return sum(header.size_bytes for header in held.values())


@settings(max_examples=20)
@given(st.integers(3, 8), st.integers(0, 10**6))
def test_when_a_box_leaves_only_what_it_held_is_fetched_anew_and_nothing_is_let_go(
    count: int, salt: int
) -> None:
    members = tuple(Member(f"a{salt}-{i}", 1) for i in range(count))
    before, _, _ = _filled(members, {})
    _, fetched, evicted = _filled(members[:-1], before)
    assert fetched == _bytes(before[members[-1].appliance_id])
    assert evicted == 0


@settings(max_examples=20)
@given(st.integers(3, 8), st.integers(0, 10**6))
def test_when_a_box_comes_it_fetches_its_share_and_the_others_fetch_nothing(
    count: int, salt: int
) -> None:
    members = tuple(Member(f"a{salt}-{i}", 1) for i in range(count))
    before, total, _ = _filled(members[:-1], {})
    after, fetched, evicted = _filled(members, before)
    assert fetched == evicted == _bytes(after[members[-1].appliance_id])
    # Its share of all copies, by the chance of 400 titles in 1,024 buckets.
    assert fetched / total == pytest.approx(1 / count, rel=0.35)
