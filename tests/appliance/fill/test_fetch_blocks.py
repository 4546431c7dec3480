"""Objects whose blocks are known come from several real sources at a time into a real store."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from appliance.fill.test_fetch import Bench

from sluice_appliance.fill.fetch import Fetcher, ObjectUnfetched
from sluice_appliance.fill.http_source import HttpSources
from sluice_appliance.fill.intake import Intake
from sluice_appliance.fill.pace import Pace
from sluice_appliance.fill.purse import Purse
from sluice_appliance.fill.sources import Source, SourceKind
from sluice_appliance.store.blocks import block_digests
from sluice_appliance.store.layout import BLOCK_BYTES
from sluice_appliance.store.store import Store
from sluice_appliance.store.threaded import ThreadedStore

# Two whole pieces, a third of two blocks, a block that is cut.
BODY = random.Random(7).randbytes(18 * BLOCK_BYTES + 12_345)
DIGESTS = block_digests(BODY)


class BlockBench(Bench):
    """Fetches with block digests."""

    def __init__(self, root: Path, digests: bytes = DIGESTS) -> None:
        super().__init__(root, body=BODY)
        self.digests = digests
        self.purse = Purse()

    async def _fetch(self, ways: Sequence[str], stall_s: float) -> None:
        with Store.open(self.root) as store:
            async with self.source.serving(), HttpSources.open_session() as session:
                intake = Intake(
                    HttpSources(session), self.tally, self.reputation, Pace(), stall_s=stall_s
                )
                fetcher = Fetcher(ThreadedStore(store), intake, self.tally)
                sources = [
                    Source(f"{n}-{way}", SourceKind.PEER, f"{self.source.base_url}{way}/")
                    for n, way in enumerate(ways)
                ]
                await fetcher.fetch(
                    self.wanted, sources, block_digests=self.digests, purse=self.purse
                )

    def bytes_asked_from(self, way: str) -> list[int]:
        return sorted(first for its_way, _, first in self.source.asked if its_way == way)


def test_pieces_come_side_by_side_from_all_near_sources(tmp_path: Path) -> None:
    bench = BlockBench(tmp_path)
    bench.fetch("good", "good")
    assert bench.published() == BODY
    assert sorted(bench.bytes_asked_from("good")) == [0, 8 * BLOCK_BYTES, 16 * BLOCK_BYTES]
    assert bench.counted('sluice_appliance_fill_bytes_total{source="peer"}') == len(BODY)


def test_a_block_that_is_wrong_comes_again_from_another_source_and_the_others_stay(
    tmp_path: Path,
) -> None:
    bench = BlockBench(tmp_path)
    bench.fetch("flipped", "good")
    assert bench.published() == BODY
    assert bench.faults() == {"digest_mismatch": 1}
    assert bench.counted('sluice_appliance_fill_bytes_total{source="peer"}') < len(BODY) * 1.5


@pytest.mark.parametrize(
    "way",
    ["short", "cut", "smaller", "larger", "endless", "stall", "silent", "absent", "elsewhere"],
)
def test_whatever_one_source_does_the_other_completes_it(tmp_path: Path, way: str) -> None:
    bench = BlockBench(tmp_path)
    bench.fetch(way, "good")
    assert bench.published() == BODY
    assert sum(bench.faults().values()) >= 1


def test_a_source_that_changes_the_object_in_mid_fetch_is_left(tmp_path: Path) -> None:
    bench = BlockBench(tmp_path)
    bench.fetch("swapped", "good")
    assert bench.published() == BODY
    assert set(bench.faults()) <= {"changed"}
    alone = BlockBench(tmp_path / "alone")
    with pytest.raises(ObjectUnfetched):
        alone.fetch("swapped")
    assert alone.faults() == {"changed": 2}


def test_a_source_that_knows_no_ranges_sends_it_all_in_few_requests(tmp_path: Path) -> None:
    bench = BlockBench(tmp_path)
    bench.fetch("whole")
    assert bench.published() == BODY
    assert len(bench.source.asked) <= 5


def test_after_a_restart_only_what_is_missing_comes(tmp_path: Path) -> None:
    bench = BlockBench(tmp_path)
    bench.purse.left_bytes = 5 * BLOCK_BYTES + 100
    bench.fetch("good")
    assert bench.published() is None
    assert bench.counted("sluice_appliance_fill_objects_unfetched_total") == 0
    before = bench.counted('sluice_appliance_fill_bytes_total{source="peer"}')
    assert before == 5 * BLOCK_BYTES
    bench.purse = Purse()
    bench.fetch("good")
    assert bench.published() == BODY
    assert bench.counted('sluice_appliance_fill_bytes_total{source="peer"}') == len(BODY)


def test_digests_of_another_size_are_no_digests(tmp_path: Path) -> None:
    bench = BlockBench(tmp_path, digests=DIGESTS[:-16])
    bench.fetch("good")
    assert bench.published() == BODY


def test_blocks_of_a_publisher_whose_digests_are_of_another_object_blame_the_source_once(
    tmp_path: Path,
) -> None:
    bench = BlockBench(tmp_path, digests=bytes(len(DIGESTS)))
    with pytest.raises(ObjectUnfetched):
        bench.fetch("good")
    assert bench.faults()["digest_mismatch"] >= 1


def test_a_busy_source_is_left_alone_for_as_long_as_it_asked(tmp_path: Path) -> None:
    bench = BlockBench(tmp_path)
    bench.fetch("busy", "good")
    assert bench.published() == BODY
    asked = asyncio.Runner()
    with asked:
        now = asked.get_loop().time()
    assert bench.reputation.is_left("0-busy", now)
    assert not bench.reputation.is_left("0-busy", now + 8)


@pytest.mark.parametrize("with_digests", [True, False])
def test_what_a_partial_object_takes_beside_its_bytes_does_not_keep_it_from_being_whole(
    tmp_path: Path, with_digests: bool
) -> None:
    """A plan takes the page of digests and half a block for bytes that have come."""
    bench = BlockBench(tmp_path, DIGESTS if with_digests else b"")
    asked: list[float] = []

    def may_give(size_bytes: float) -> bool:
        asked.append(size_bytes)
        return True

    bench.purse = Purse(len(BODY) - 4096 - BLOCK_BYTES // 2, may_give=may_give)
    bench.fetch("good")
    assert bench.published() == BODY
    assert asked == [4096 + BLOCK_BYTES // 2]


def test_a_budget_that_has_no_more_is_kept_to(tmp_path: Path) -> None:
    bench = BlockBench(tmp_path)
    bench.purse = Purse(len(BODY) - 4096, may_give=lambda size_bytes: False)
    bench.fetch("good")
    assert bench.published() is None
    assert bench.counted("sluice_appliance_fill_objects_unfetched_total") == 0
    assert bench.purse.taken_bytes <= len(BODY) - 4096


def test_a_plan_that_gives_a_little_less_in_the_middle_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    bench = BlockBench(tmp_path)

    def plan_anew(size_bytes: int) -> None:
        bench.purse.left_bytes -= 4096 / 8
        assert bench.purse.left_bytes > -BLOCK_BYTES

    bench.purse = Purse(len(BODY), plan_anew)
    bench.fetch("good")
    assert bench.published() == BODY
