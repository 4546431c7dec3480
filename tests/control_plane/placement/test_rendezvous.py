import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_control_plane.placement.rendezvous import BUCKET_COUNT, Member, bucket_of, rank

MEMBERS = st.lists(
    st.builds(
        Member,
        st.from_regex(r"[a-z0-9][a-z0-9-]{0,8}", fullmatch=True),
        st.integers(min_value=1, max_value=1000),
    ),
    unique_by=lambda member: member.appliance_id,
    max_size=8,
)
BUCKETS = st.integers(min_value=0, max_value=BUCKET_COUNT - 1)


def test_titles_fall_into_the_buckets_that_published_names_already_carry() -> None:
    # These are in DNS and on disks: a change of the hash moves the whole catalog.
    assert {
        title: bucket_of(title) for title in ("big-buck-bunny", "sintel", "tears-of-steel")
    } == {
        "big-buck-bunny": 951,
        "sintel": 21,
        "tears-of-steel": 384,
    }


def test_the_order_of_a_bucket_is_the_same_in_every_process_and_release() -> None:
    members = [Member(name, 100) for name in ("a-1", "a-2", "b-1", "b-2")]
    assert {bucket: rank(bucket, members) for bucket in (0, 173, 1023)} == {
        0: ("b-1", "a-2", "b-2", "a-1"),
        173: ("b-2", "b-1", "a-2", "a-1"),
        1023: ("a-2", "a-1", "b-2", "b-1"),
    }


@given(BUCKETS, MEMBERS, st.randoms(use_true_random=False))
def test_the_order_in_which_members_are_listed_is_irrelevant(
    bucket: int, members: list[Member], rng: random.Random
) -> None:
    shuffled = list(members)
    rng.shuffle(shuffled)
    assert rank(bucket, shuffled) == rank(bucket, members)


@given(BUCKETS, MEMBERS)
def test_an_appliance_that_leaves_moves_nobody_else(bucket: int, members: list[Member]) -> None:
    before = rank(bucket, members)
    for gone in members:
        after = rank(bucket, [member for member in members if member != gone])
        assert after == tuple(name for name in before if name != gone.appliance_id)


@given(BUCKETS, MEMBERS, st.integers(min_value=1, max_value=1000))
def test_an_appliance_that_grows_never_falls_behind_one_that_it_led(
    bucket: int, members: list[Member], more: int
) -> None:
    before = rank(bucket, members)
    for grown in members:
        taller = [Member(m.appliance_id, m.weight + more) if m == grown else m for m in members]
        after = rank(bucket, taller)
        assert after.index(grown.appliance_id) <= before.index(grown.appliance_id)


def test_weights_shape_the_shares_of_buckets() -> None:
    members = [Member("small", 100), Member("middle", 200), Member("large", 700)]
    firsts = Counter(rank(bucket, members)[0] for bucket in range(BUCKET_COUNT))
    # Four standard deviations of a binomial of 1,024 draws are at most 64.
    for member in members:
        assert abs(firsts[member.appliance_id] - BUCKET_COUNT * member.weight / 1000) < 64


@pytest.mark.parametrize("weight", [0, -1, 1_000_001])
def test_a_weight_that_cannot_be_a_share_is_refused_with_its_name(weight: int) -> None:
    with pytest.raises(ValueError, match=rf"weight of a-1 is {weight}, expected 1\.\.1000000"):
        Member("a-1", weight)
