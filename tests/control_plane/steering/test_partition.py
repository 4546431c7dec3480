import gzip
import ipaddress
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_control_plane.steering import partition as partition_module
from sluice_control_plane.steering.partition import Partition, TooManyBlocks, partition
from sluice_control_plane.steering.routes import (
    KEY_BITS,
    LENGTH_MAX,
    Prefix,
    Route,
    RouteRefused,
    parse_prefix,
)

SITES = ("site-a", "site-b", "site-c")
ROUTE_DATA = Path(
    os.environ.get("SLUICE_ROUTE_DATA", Path(__file__).parents[4] / "shared" / "data" / "routes")
)
FULL_TABLE = ROUTE_DATA / "prefix-origin-20151101.dat.gz"


@st.composite
def routes(draw: st.DrawFn) -> Route:
    """Prefixes in few addresses, so that they cover one another often."""
    family = draw(st.sampled_from((4, 6)))
    bits = KEY_BITS[family]
    length = draw(st.integers(0, 6) | st.integers(0, LENGTH_MAX[family]))
    start = draw(st.integers(0, 63)) << (bits - 6) | draw(st.integers(0, 3)) << (
        bits - LENGTH_MAX[family]
    )
    start = start >> (bits - length) << (bits - length)
    return Route(Prefix(family, start, length), draw(st.sampled_from(SITES)))


ROUTES = st.lists(routes(), max_size=30)


def ranking_by_hand(announced: list[Route], family: int, key: int) -> tuple[int, ...]:
    """The rule of the module's first lines, in the plainest way: every route is looked at."""
    bits = KEY_BITS[family]
    ranked: list[int] = []
    for length in range(bits, -1, -1):
        there = {
            SITES.index(site)
            for prefix, site in announced
            if prefix.family == family
            and prefix.length == length
            and prefix.start == key >> (bits - length) << (bits - length)
        }
        ranked.extend(site for site in sorted(there) if site not in ranked)
    return (*ranked, *(site for site in range(len(SITES)) if site not in ranked))


def ranking_at(cut: Partition, family: int, key: int) -> tuple[int, ...]:
    return cut.ranking(cut.blocks[family].at(key)[0])


@given(ROUTES)
def test_blocks_are_disjoint_and_in_order_and_cover_everything(announced: list[Route]) -> None:
    cut = partition(announced, SITES)
    for family, bits in KEY_BITS.items():
        blocks = cut.blocks[family]
        reached = 0
        for start, length in zip(blocks.starts, blocks.lengths, strict=True):
            assert start == reached
            assert start % (1 << (bits - length)) == 0
            assert length <= LENGTH_MAX[family]
            reached = start + (1 << (bits - length))
        assert reached == 1 << bits


@given(ROUTES, st.randoms(use_true_random=False))
def test_each_client_gets_what_its_longest_route_says(
    announced: list[Route], rng: random.Random
) -> None:
    cut = partition(announced, SITES)
    for family, bits in KEY_BITS.items():
        keys = [rng.getrandbits(bits) for _ in range(5)]
        for prefix in {route.prefix for route in announced if route.prefix.family == family}:
            last = prefix.start + (1 << (bits - prefix.length)) - 1
            keys += [prefix.start, last, max(0, prefix.start - 1), min((1 << bits) - 1, last + 1)]
        for key in keys:
            assert ranking_at(cut, family, key) == ranking_by_hand(announced, family, key)


@given(ROUTES, st.randoms(use_true_random=False))
def test_every_client_within_the_scope_of_an_answer_gets_the_same_answer(
    announced: list[Route], rng: random.Random
) -> None:
    cut = partition(announced, SITES)
    for family, bits in KEY_BITS.items():
        key = rng.getrandbits(bits)
        _, scope = cut.blocks[family].at(key)
        neighbour = key >> (bits - scope) << (bits - scope) | rng.getrandbits(bits) >> scope
        assert ranking_by_hand(announced, family, neighbour) == ranking_by_hand(
            announced, family, key
        )


@given(ROUTES, st.randoms(use_true_random=False))
def test_the_order_in_which_routes_arrive_is_irrelevant(
    announced: list[Route], rng: random.Random
) -> None:
    shuffled = list(announced)
    rng.shuffle(shuffled)
    assert partition(shuffled, SITES).blocks == partition(announced, SITES).blocks


def test_neighbouring_routes_of_one_site_are_one_block_with_a_wider_scope() -> None:
    halves = [Route(parse_prefix(text), "site-b") for text in ("10.0.0.0/9", "10.128.0.0/9")]
    cut = partition(halves, SITES)
    _, scope = cut.blocks[4].at(10 << 24)
    assert scope == 8


def test_a_client_nobody_announced_is_in_class_0_even_where_the_ranking_is_the_same() -> None:
    cut = partition([Route(parse_prefix("10.0.0.0/8"), "site-a")], SITES)
    announced, _ = cut.blocks[4].at(10 << 24)
    unannounced, _ = cut.blocks[4].at(11 << 24)
    assert unannounced == 0
    assert announced != 0
    assert cut.ranking(announced) == cut.ranking(unannounced) == (0, 1, 2)


def test_without_any_route_each_family_is_one_block_that_depends_on_no_bit() -> None:
    cut = partition([], SITES)
    assert [(len(blocks), blocks.at(7)) for blocks in cut.blocks.values()] == [(1, (0, 0))] * 2


def test_rankings_that_no_longer_fit_the_map_keep_their_first_site(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(partition_module, "CLASSES_MAX", 4)
    nested = [
        Route(parse_prefix("10.0.0.0/8"), "site-a"),
        Route(parse_prefix("10.1.0.0/16"), "site-b"),
        Route(parse_prefix("10.1.1.0/24"), "site-c"),
    ]
    cut = partition(nested, SITES)
    assert cut.shortened == 2
    assert len(cut.classes) == 4
    assert ranking_at(cut, 4, 0x0A010101) == (2, 0, 1)


def test_more_blocks_than_a_map_carries_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition_module, "BLOCKS_MAX", 20)
    with pytest.raises(TooManyBlocks, match="IPv4 into more than 20 blocks"):
        partition([Route(parse_prefix("10.1.1.0/24"), "site-a")], SITES)


def full_table() -> Iterator[Route]:
    """A full table, its networks spread over the sites by number; what is too long is left out."""
    with gzip.open(FULL_TABLE, "rt") as lines:
        for line in lines:
            if line.strip() and not line.startswith(";"):
                text, origin = line.split()
                try:
                    yield Route(parse_prefix(text), SITES[int(origin) % len(SITES)])
                except RouteRefused:
                    continue


@pytest.mark.skipif(not FULL_TABLE.exists(), reason=f"no routing table at {FULL_TABLE}")
def test_the_internets_own_table_is_steered_as_its_longest_routes_say() -> None:
    announced = list(full_table())
    assert len(announced) > 600_000
    cut = partition(announced, SITES)
    by_prefix: dict[Prefix, list[Route]] = {}
    for route in announced:
        by_prefix.setdefault(route.prefix, []).append(route)
    rng = random.Random(20151101)
    for route in rng.sample(announced, 2_000):
        family, start, length = route.prefix
        bits = KEY_BITS[family]
        for key in (start, start | rng.getrandbits(bits) >> length, rng.getrandbits(bits)):
            covering = [
                covered
                for size in range(bits + 1)
                for covered in by_prefix.get(
                    Prefix(family, key >> (bits - size) << (bits - size), size), ()
                )
            ]
            assert ranking_at(cut, family, key) == ranking_by_hand(covering, family, key), (
                ipaddress.ip_address(key) if family == 4 else hex(key)
            )
