"""Which objects are asked for most, and how the page shows them."""

import asyncio
import socket

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from sluice_appliance.serving import tally
from sluice_appliance.serving.demand import ObjectDemand, Wanted
from sluice_appliance.serving.popularity import Hits, Popularity
from sluice_appliance.serving.popularity_page import PopularityPage
from sluice_runtime.metrics import serve_admin


def test_a_steady_object_is_shown_at_its_rate() -> None:
    demand = ObjectDemand(0.0, half_life_s=60.0)
    for second in range(1, 3600):
        demand.add({"a": Hits(10, 1000)}, float(second))
    (wanted,) = demand.top(5, 3599.0)
    assert wanted.key == "a"
    assert wanted.requests_per_s == pytest.approx(10, rel=0.02)
    assert wanted.bytes_per_s == pytest.approx(1000, rel=0.02)


def test_what_was_asked_for_long_ago_gives_way_to_what_is_asked_for_now() -> None:
    demand = ObjectDemand(0.0, half_life_s=60.0)
    demand.add({"old": Hits(1000, 0)}, 1.0)
    demand.add({"new": Hits(20, 0)}, 1.0 + 6 * 60.0)
    assert [wanted.key for wanted in demand.top(2, 400.0)] == ["new", "old"]


def test_the_most_asked_for_half_is_remembered_where_there_are_too_many() -> None:
    demand = ObjectDemand(0.0, keys_max=10)
    demand.add({str(number): Hits(number, 0) for number in range(11)}, 1.0)
    assert {wanted.key for wanted in demand.top(99, 1.0)} == {"6", "7", "8", "9", "10"}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1e6)), max_size=30))
def test_order_holds_however_long_nothing_is_asked_for(events: list[tuple[str, float]]) -> None:
    demand, now = ObjectDemand(0.0, half_life_s=1.0), 0.0
    for key, pause_s in events:
        now += pause_s
        demand.add({key: Hits(1, 1)}, now)
    top = demand.top(3, now)
    assert all(0 <= wanted.requests_per_s <= len(events) for wanted in top)
    if events:
        assert events[-1][0] in {wanted.key for wanted in top}
    assert top == sorted(top, key=lambda wanted: -wanted.requests_per_s)


def test_the_page_shows_what_workers_counted_and_what_was_lost() -> None:
    shared = Popularity(2)
    table = shared.claim()
    for key, hits in (("film/v1/a", 3), ("film/v1/b", 7)):
        slot = table.take(key)
        table.hits[slot] += hits
        table.sent_bytes[slot] += hits * 100
    table.hits[0] += 2
    row = memoryview(bytearray(tally.CELLS * 8)).cast("Q")
    page = PopularityPage(shared, row, lambda: 5.0)

    async def look() -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        async with (
            serve_admin(
                "127.0.0.1",
                port,
                CollectorRegistry(),
                lambda: (True, {}),
                routes=page.routes(),
            ),
            aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        ):
            async with session.get("/popularity?count=1") as answer:
                shown = await answer.json()
            assert (shown["objects_known"], shown["hits_lost"]) == (2, 2)
            (most,) = shown["objects"]
            assert (most["key"], most["bytes_per_s"]) == (
                "film/v1/b",
                pytest.approx(100 * most["requests_per_s"]),
            )
            async with session.get("/popularity?count=lots") as answer:
                assert (answer.status, "1..1000" in await answer.text()) == (400, True)

    asyncio.run(look())
    assert row[tally.POPULARITY_LOST] == 2


def test_a_demand_that_nobody_added_to_shows_nothing() -> None:
    empty: list[Wanted] = []
    assert ObjectDemand(0.0).top(5, 10.0) == empty
