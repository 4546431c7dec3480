"""On which disk an object belongs."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.store.disks import DiskPlace, Tier
from sluice_appliance.store.rendezvous import rank

DISKS = st.lists(
    st.builds(
        DiskPlace,
        root=st.just("/d"),
        disk_id=st.from_regex("[0-9a-f]{8}", fullmatch=True),
        tier=st.sampled_from(Tier),
        capacity_bytes=st.integers(1, 2**50),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda disk: disk.disk_id,
)
NAMES = st.from_regex("[0-9a-f]{64}", fullmatch=True)


@given(NAMES, DISKS, st.randoms(use_true_random=False))
def test_the_order_of_the_configuration_moves_no_object(
    name: str, disks: list[DiskPlace], rng: random.Random
) -> None:
    shuffled = list(disks)
    rng.shuffle(shuffled)
    assert list(rank(name, shuffled)) == list(rank(name, disks))


@given(NAMES, DISKS)
def test_a_disk_that_goes_moves_only_what_it_held(name: str, disks: list[DiskPlace]) -> None:
    ranked = list(rank(name, disks))
    for gone in disks:
        assert [disk for disk in ranked if disk != gone] == list(
            rank(name, [disk for disk in disks if disk != gone])
        )


@given(NAMES, DISKS)
def test_the_fastest_tier_is_looked_at_first(name: str, disks: list[DiskPlace]) -> None:
    tiers = [disk.tier for disk in rank(name, disks)]
    assert tiers == sorted(tiers, key=list(Tier).index)


@given(NAMES, DISKS)
def test_a_disk_mounted_elsewhere_keeps_its_objects(name: str, disks: list[DiskPlace]) -> None:
    moved = [
        DiskPlace(f"/elsewhere/{i}", disk.disk_id, disk.tier, disk.capacity_bytes)
        for i, disk in enumerate(disks)
    ]
    assert [d.disk_id for d in rank(name, moved)] == [d.disk_id for d in rank(name, disks)]


def test_a_disk_of_twice_the_capacity_takes_twice_as_many_objects() -> None:
    disks = [DiskPlace("/a", "a", capacity_bytes=1), DiskPlace("/b", "b", capacity_bytes=2)]
    first = Counter(rank(f"{n:064x}", disks)[0].disk_id for n in range(6000))
    assert 1.85 < first["b"] / first["a"] < 2.15
