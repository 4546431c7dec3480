"""A real store fetches from a real HTTP source that is wrong on purpose."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from appliance.fill.fakes import FakeSources
from appliance.fill.scripted_source import FAULTS, ScriptedSource
from appliance.fill.signing import wanted_of

from sluice_appliance.fill.fetch import Fetcher, ObjectUnfetched
from sluice_appliance.fill.http_source import HttpSources
from sluice_appliance.fill.intake import Intake
from sluice_appliance.fill.pace import Pace
from sluice_appliance.fill.purse import Purse
from sluice_appliance.fill.reputation import Reputation
from sluice_appliance.fill.sources import FaultKind, Source, SourceKind
from sluice_appliance.fill.tally import FAULT_PAIRS_MAX, FillTally
from sluice_appliance.metrics import supervisor_counters
from sluice_appliance.store.layout import object_path
from sluice_appliance.store.reading import open_object
from sluice_appliance.store.store import Store
from sluice_appliance.store.threaded import ThreadedStore

BODY = random.Random(3).randbytes(900_000)
KEY = "film/v1/h264-720p.mp4"
WANTED = wanted_of(KEY, BODY)


class Bench:
    """One fetch: its store, its source, its counters."""

    def __init__(self, root: Path, *, body: bytes = BODY) -> None:
        self.root = root
        self.wanted = wanted_of(KEY, body)
        self.source = ScriptedSource({KEY: body})
        self.counters = supervisor_counters()
        self.tally = FillTally(self.counters)
        self.reputation = Reputation()

    def fetch(self, *ways: str) -> None:
        # Short only where it is waited for: a machine that does much else is late itself.
        stall_s = 0.5 if {"stall", "silent"} & set(ways) else 20.0
        asyncio.run(self._fetch(ways, stall_s))

    async def _fetch(self, ways: Sequence[str], stall_s: float) -> None:
        with Store.open(self.root) as store:
            async with self.source.serving(), HttpSources.open_session() as session:
                intake = Intake(
                    HttpSources(session), self.tally, self.reputation, Pace(), stall_s=stall_s
                )
                fetcher = Fetcher(ThreadedStore(store), intake, self.tally)
                await fetcher.fetch(
                    self.wanted,
                    [
                        Source(way, SourceKind.PEER, f"{self.source.base_url}{way}/")
                        if way != "refuses"
                        else Source(way, SourceKind.PEER, "http://127.0.0.1:1/")
                        for way in ways
                    ],
                )

    def faults(self) -> dict[str, int]:
        prefix = "sluice_appliance_fill_source_faults_total"
        return {
            kind.value: total
            for kind in FaultKind
            if (total := self.counted(f'{prefix}{{kind="{kind.value}",source="peer"}}'))
        }

    def counted(self, name: str) -> int:
        return self.counters.totals()[name]

    def published(self) -> bytes | None:
        path = Path(object_path(str(self.root), self.wanted.key))
        if not path.exists():
            return None
        with open_object(str(path)) as there:
            return there.read(0, there.header.size_bytes)


def test_an_object_comes_whole_from_a_good_source(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.fetch("good")
    assert bench.published() == BODY
    assert bench.faults() == {}
    assert bench.counted('sluice_appliance_fill_objects_total{source="peer"}') == 1
    assert bench.counted('sluice_appliance_fill_bytes_total{source="peer"}') == len(BODY)


@pytest.mark.parametrize("budget_has_it", [True, False])
def test_a_plan_that_is_made_meanwhile_and_counts_too_little_as_missing_makes_no_source_wrong(
    tmp_path: Path, budget_has_it: bool
) -> None:
    """What the budget has no room for waits in the partial object; nobody is said to have it wrong."""
    bench = Bench(tmp_path)

    def plan_anew(size_bytes: int) -> None:
        if purse.taken_bytes == size_bytes:
            purse.left_bytes -= 200_000

    purse = Purse(len(BODY), plan_anew, may_give=lambda size_bytes: budget_has_it)

    async def story(store: Store) -> bool:
        intake = Intake(
            FakeSources({KEY: BODY}), bench.tally, bench.reputation, Pace(), stall_s=20.0
        )
        fetcher = Fetcher(ThreadedStore(store), intake, bench.tally)
        return await fetcher.fetch(bench.wanted, [Source("good", SourceKind.PEER, "")], purse=purse)

    with Store.open(tmp_path) as store:
        assert asyncio.run(story(store)) is budget_has_it
    assert bench.published() == (BODY if budget_has_it else None)
    assert bench.counted("sluice_appliance_fill_objects_unfetched_total") == 0


def test_an_empty_object_needs_no_byte_of_any_source(tmp_path: Path) -> None:
    bench = Bench(tmp_path, body=b"")
    bench.fetch("good")
    assert bench.published() == b""


@pytest.mark.parametrize("way", [*FAULTS, "refuses"])
def test_nothing_wrong_is_published_and_the_next_source_completes_it(
    tmp_path: Path, way: str
) -> None:
    bench = Bench(tmp_path)
    bench.fetch(way, "good")
    assert bench.published() == BODY
    assert bench.faults() == {FAULTS.get(way, "unavailable"): 1}


@pytest.mark.parametrize("way", [*FAULTS, "refuses"])
def test_with_nothing_but_a_wrong_source_nothing_is_published(tmp_path: Path, way: str) -> None:
    bench = Bench(tmp_path)
    with pytest.raises(ObjectUnfetched, match="none of 1 sources"):
        bench.fetch(way)
    assert bench.published() is None
    assert bench.counted("sluice_appliance_fill_objects_unfetched_total") == 1


def test_the_next_source_goes_on_where_a_stalled_one_stopped(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.fetch("stall", "good")
    assert bench.source.asked == [("stall", KEY, 0), ("good", KEY, len(BODY) // 3)]


def test_a_source_that_knows_no_ranges_still_completes_what_another_began(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.fetch("cut", "whole")
    assert bench.published() == BODY
    assert bench.faults() == {"truncated": 1}


@pytest.mark.parametrize("way", ["larger", "smaller"])
def test_a_source_that_says_another_size_is_not_read_at_all(tmp_path: Path, way: str) -> None:
    bench = Bench(tmp_path)
    bench.fetch(way, "good")
    assert bench.counted('sluice_appliance_fill_bytes_total{source="peer"}') == len(BODY)


def test_after_a_wrong_digest_the_next_source_begins_at_byte_zero(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.fetch("wrong", "good")
    assert bench.source.asked == [("wrong", KEY, 0), ("good", KEY, 0)]


def test_a_good_source_is_not_blamed_for_the_wrong_bytes_of_the_one_before(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with Store.open(tmp_path) as store:
        partial = store.begin(WANTED.key, WANTED.size_bytes, WANTED.sha256, WANTED.content_type)
        partial.write(bytes(1000))
        partial.close()
    bench.fetch("good")
    assert bench.published() == BODY
    assert bench.source.asked == [("good", KEY, 1000), ("good", KEY, 0)]
    assert bench.faults() == {}
    assert bench.counted("sluice_appliance_fill_restarts_total") == 1


def test_an_object_that_was_whole_when_the_power_went_is_published_without_a_request(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path)
    with Store.open(tmp_path) as store:
        partial = store.begin(WANTED.key, WANTED.size_bytes, WANTED.sha256, WANTED.content_type)
        partial.write(BODY)
        partial.close()
    bench.fetch("good")
    assert bench.published() == BODY
    assert bench.source.asked == []


def test_a_fetch_that_is_cancelled_goes_on_where_it_stood(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    async def cancelled() -> None:
        async with asyncio.timeout(1.0):
            await bench._fetch(["stall"], 30.0)

    with pytest.raises(TimeoutError):
        asyncio.run(cancelled())
    bench.fetch("good")
    assert bench.source.asked[-1] == ("good", KEY, len(BODY) // 3)
    assert bench.published() == BODY


def test_faults_of_more_sources_than_there_is_room_for_are_still_counted() -> None:
    tally = FillTally(supervisor_counters())
    for number in range(FAULT_PAIRS_MAX + 5):
        tally.source_failed(Source(f"s-{number}", SourceKind.SITE, ""), FaultKind.STALLED)
    faults = tally.take_faults()
    assert faults["other", FaultKind.STALLED] == 5
    assert len(faults) == FAULT_PAIRS_MAX + 1
    assert tally.take_faults() == {}
    tally.put_back(faults)
    assert sum(tally.take_faults().values()) == FAULT_PAIRS_MAX + 5


def test_a_session_decodes_nothing_on_the_way() -> None:
    async def look() -> None:
        async with HttpSources.open_session() as session:
            assert session.encrypted.auto_decompress is False

    asyncio.run(look())


def test_what_a_box_asks_of_a_source_names_the_box() -> None:
    async def look() -> None:
        async with HttpSources.open_session("a-1") as session:
            assert session.encrypted.headers["CDN-Loop"] == "a-1"

    asyncio.run(look())
