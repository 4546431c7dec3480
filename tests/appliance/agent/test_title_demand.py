"""What a box tells of its players, and that nothing is lost or told twice on the way."""

import asyncio
import random

from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.agent.demand_reporter import (
    INTERVAL_S,
    DemandReporter,
    DemandUndelivered,
)
from sluice_appliance.agent.tally import AgentTally
from sluice_appliance.agent.title_demand import NOTHING, DemandReport, TitleDemand
from sluice_appliance.metrics import supervisor_counters
from sluice_appliance.serving.popularity import Hits, Popularity
from sluice_appliance.serving.popularity_page import PopularityPage
from sluice_appliance.serving.tally import CELLS
from sluice_runtime.simulation import simulate


def test_objects_of_one_version_are_told_together_and_the_most_sent_first() -> None:
    demand = TitleDemand()
    demand.add({"a/v1/x": Hits(1, 10), "b/v1/x": Hits(1, 30), "a/v1/y/z": Hits(2, 5)})
    demand.add({"a/v1/x": Hits(1, 10), "readme": Hits(1, 1)})
    report = demand.report()
    assert report == DemandReport(1, {"b/v1": Hits(1, 30), "a/v1": Hits(4, 25)}, Hits(1, 1))
    assert list(report.titles) == ["b/v1", "a/v1"]


def test_what_is_beyond_the_bounds_is_told_as_the_rest() -> None:
    demand = TitleDemand(titles_max=2, waiting_max=3)
    demand.add({f"t{n}/v1/x": Hits(1, 10 - n) for n in range(5)})
    report = demand.report()
    assert report == DemandReport(1, {"t0/v1": Hits(1, 10), "t1/v1": Hits(1, 9)}, Hits(3, 21))


def test_with_nothing_sent_there_is_nothing_to_tell() -> None:
    demand = TitleDemand()
    assert demand.report() is None
    demand.add({})
    assert demand.report() is None


@given(st.lists(st.one_of(st.sampled_from("abcdef"), st.booleans()), max_size=60))
def test_every_byte_is_told_once_whatever_gets_lost(story: list[str | bool]) -> None:
    demand, sent, told = TitleDemand(titles_max=2, waiting_max=4), 0, 0
    heard = 0
    for step in [*story, True, True]:
        if isinstance(step, str):
            demand.add({f"{step}/v1/x": Hits(1, 7)})
            sent += 7
        elif (report := demand.report()) is not None:
            # The control plane counts a number once; the answer gets lost where `step` is False.
            if report.sequence > heard:
                assert report.sequence == heard + 1
                heard = report.sequence
                told += sum(report.titles.values(), report.rest).sent_bytes
            if step:
                demand.taken()
    assert told == sent


def test_a_cut_of_an_hour_loses_nothing_and_a_report_goes_every_minute() -> None:
    told: list[tuple[float, DemandReport]] = []
    gone = False

    async def send(report: DemandReport) -> None:
        if gone:
            raise DemandUndelivered("gone")
        told.append((asyncio.get_running_loop().time(), report))

    async def story() -> None:
        nonlocal gone
        demand, counters = TitleDemand(), supervisor_counters()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(DemandReporter(send, demand, AgentTally(counters)).run())
            for minute in range(70):
                gone = 5 <= minute < 65
                demand.add({"film/v1/x": Hits(1, 1000)})
                await asyncio.sleep(INTERVAL_S)
            await asyncio.sleep(INTERVAL_S)
            running.cancel()
        failed = counters.totals()["sluice_appliance_demand_reports_failed_total"]
        assert failed == 60

    simulate(story())
    assert [report.sequence for _, report in told] == list(range(1, len(told) + 1))
    assert sum(sum(report.titles.values(), NOTHING).sent_bytes for _, report in told) == 70_000


def test_what_workers_count_reaches_the_report() -> None:
    shared, demand = Popularity(1), TitleDemand()
    table = shared.claim()
    row = memoryview(bytearray(CELLS * 8)).cast("Q")
    page = PopularityPage(shared, row, lambda: 5.0, demand.add)
    rng = random.Random(2)
    sent = [rng.randrange(1000) for _ in range(4)]
    for number, sent_bytes in enumerate(sent):
        slot = table.take(f"film/v1/{number}")
        table.hits[slot] += 1
        table.sent_bytes[slot] += sent_bytes
        page.drain()
    assert demand.report() == DemandReport(1, {"film/v1": Hits(4, sum(sent))})
