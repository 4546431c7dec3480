"""How many copies a site holds of each bucket."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from sluice_control_plane.placement.placement import Site, assign
from sluice_control_plane.placement.rendezvous import Member, bucket_of
from sluice_control_plane.placement.replicas import COPY_SHARE_MAX, copies_by_bucket

DEMAND = st.dictionaries(st.integers(0, 30), st.floats(0, 1e12), max_size=20)
BEFORE = st.dictionaries(st.integers(0, 30), st.integers(3, 16), max_size=20)


def _copies(
    demand: dict[int, float], before: dict[int, int] | None = None, *, members: int = 20
) -> dict[int, int]:
    return dict(
        copies_by_bucket(demand, before or {}, members=members, copies_min=2, copies_max=16)
    )


def test_a_bucket_with_more_of_the_demand_gets_more_copies() -> None:
    # Of 20 boxes a quarter of a box's mean is 1.25 %; two copies bear a quarter more than their share.
    assert _copies({1: 87.0, 2: 5.0, 3: 3.5, 4: 3.0, 5: 1.5}) == {1: 16, 2: 4, 3: 3}


def test_a_site_of_two_boxes_holds_two_copies_of_everything() -> None:
    assert _copies({1: 100.0}, members=2) == {}


@given(DEMAND, BEFORE, st.integers(1, 40))
def test_copies_are_bounded_and_no_more_than_four_a_box_beyond_what_is_held_anyway(
    demand: dict[int, float], before: dict[int, int], members: int
) -> None:
    found = _copies(demand, members=members)
    assert all(2 < copies <= min(16, members) for copies in found.values())
    assert sum(copies - 2 for copies in found.values()) <= members / COPY_SHARE_MAX
    settled = _copies(demand, before, members=members)
    assert all(2 < copies <= min(16, members) for copies in settled.values())


@given(DEMAND, st.integers(1, 40), st.randoms(use_true_random=False))
def test_while_demand_stays_within_a_tenth_no_bucket_moves_more_than_once(
    demand: dict[int, float], members: int, rng: random.Random
) -> None:
    # A tenth up here and down there changes a share by less than a quarter.
    copies = _copies(demand, members=members)
    moves = dict.fromkeys(range(31), 0)
    for _ in range(10):
        nudged = {bucket: rate * rng.uniform(0.9, 1.1) for bucket, rate in demand.items()}
        after = _copies(nudged, copies, members=members)
        for bucket in moves:
            moves[bucket] += after.get(bucket, 2) != copies.get(bucket, 2)
        copies = after
    assert max(moves.values()) <= 1


@settings(max_examples=20)
@given(st.dictionaries(st.integers(0, 30), st.floats(1, 1e6), min_size=1, max_size=20))
def test_what_was_decided_twice_is_what_was_decided_once(demand: dict[int, float]) -> None:
    once = _copies(demand)
    assert _copies(demand, once) == once


def test_a_month_of_changing_tastes_moves_less_than_a_thousandth_of_the_bytes_a_day() -> None:
    rng = random.Random(4)
    titles = [f"t-{n}" for n in range(3000)]
    site = Site("site-a", tuple(Member(f"a-{n}", 100) for n in range(20)))
    popularity = [1 / (rank + 1) ** 0.9 for rank in range(len(titles))]
    copies: dict[int, int] = {}
    held: set[tuple[str, str]] = set()
    moved = []
    for day in range(30):
        # A title in fifty changes places with another each day, and every one is watched a fifth more
        # or less than the day before.
        for _ in range(len(titles) // 50):
            one, other = rng.randrange(len(titles)), rng.randrange(len(titles))
            popularity[one], popularity[other] = popularity[other], popularity[one]
        demand: dict[int, float] = {}
        for title, rate in zip(titles, popularity, strict=True):
            watched = rate * rng.uniform(0.8, 1.2)
            demand[bucket_of(title)] = demand.get(bucket_of(title), 0.0) + watched
        copies = _copies(demand, copies)
        more = {("site-a", bucket): each for bucket, each in copies.items()}
        assigned = assign(titles, [site], 2, more)
        now = {(box, title) for box, there in assigned.items() for title in there}
        if day:
            moved.append(len(now - held) / len(now))
        held = now
    print(f"moved a day: mean {sum(moved) / len(moved):.4%}, most {max(moved):.4%}")
    assert sum(moved) / len(moved) < 0.001
    assert max(moved) < 0.01
