import asyncio
import socket
import subprocess
import sys
from bisect import bisect_left
from collections.abc import Mapping

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from sluice_runtime.counters import CounterSpec, HistogramSpec, SharedCounters, index_of
from sluice_runtime.metrics import SharedCountersCollector, parse_exposition, serve_admin

SPECS = (
    CounterSpec("sluice_requests_total", "Requests."),
    CounterSpec("sluice_answers_total", "Answers.", {"status": "2xx"}),
    CounterSpec("sluice_answers_total", "Answers.", {"status": "5xx"}),
)
WORKER = """
import sys
from sluice_runtime.counters import CounterSpec, SharedCounters
specs = [CounterSpec(f"c{n}_total", "") for n in range(3)]
row = SharedCounters(specs, rows=2, descriptor=int(sys.argv[1])).row(int(sys.argv[2]))
for _ in range(1000):
    row[2] += 1
"""


def test_what_workers_count_is_summed_and_outlives_them() -> None:
    counters = SharedCounters(SPECS, rows=2)
    for worker in ("0", "1", "1"):
        subprocess.run(
            [sys.executable, "-c", WORKER, str(counters.descriptor), worker],
            pass_fds=(counters.descriptor,),
            check=True,
        )
    counters.row(0)[index_of(SPECS, "sluice_requests_total")] += 7
    assert counters.totals() == {
        "sluice_requests_total": 7,
        'sluice_answers_total{status="2xx"}': 0,
        'sluice_answers_total{status="5xx"}': 3000,
    }


BOUNDS = (10, 100)
OBSERVING = (
    SPECS[0],
    HistogramSpec("sluice_wait_seconds", "Waits.", BOUNDS, unit=0.5, labels={"for": "a"}),
    HistogramSpec("sluice_wait_seconds", "Waits.", BOUNDS, unit=0.5, labels={"for": "b"}),
    SPECS[1],
)


def test_prometheus_sees_a_histogram_summed_over_workers_and_the_counters_after_it() -> None:
    counters = SharedCounters(OBSERVING, rows=2)
    first = index_of(OBSERVING, "sluice_wait_seconds", **{"for": "b"})
    for row, value in ((0, 3), (0, 10), (1, 11), (1, 100), (1, 101)):
        cells = counters.row(row)
        cells[first + bisect_left(BOUNDS, value)] += 1
        cells[first + len(BOUNDS) + 1] += value
    counters.row(1)[index_of(OBSERVING, "sluice_answers_total", status="2xx")] += 7
    registry = CollectorRegistry()
    registry.register(SharedCountersCollector(counters))
    samples = dict(parse_exposition(generate_latest(registry).decode()))
    assert samples == {
        "sluice_requests_total": 0,
        'sluice_wait_seconds_bucket{for="a",le="5"}': 0,
        'sluice_wait_seconds_bucket{for="a",le="50"}': 0,
        'sluice_wait_seconds_bucket{for="a",le="+Inf"}': 0,
        'sluice_wait_seconds_count{for="a"}': 0,
        'sluice_wait_seconds_sum{for="a"}': 0,
        # A bound is in its own bucket, as Prometheus has it.
        'sluice_wait_seconds_bucket{for="b",le="5"}': 2,
        'sluice_wait_seconds_bucket{for="b",le="50"}': 4,
        'sluice_wait_seconds_bucket{for="b",le="+Inf"}': 5,
        'sluice_wait_seconds_count{for="b"}': 5,
        'sluice_wait_seconds_sum{for="b"}': 112.5,
        'sluice_answers_total{status="2xx"}': 7,
    }
    assert counters.totals()['sluice_wait_seconds_count{for="b"}'] == 5


def test_a_counter_that_was_never_declared_has_no_place() -> None:
    assert index_of(SPECS, "sluice_answers_total", status="5xx") == 2
    with pytest.raises(KeyError, match="no counter sluice_answers_total"):
        index_of(SPECS, "sluice_answers_total", status="4xx")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def test_the_admin_page_shows_the_counters_and_says_why_it_is_unwell() -> None:
    counters = SharedCounters(SPECS, rows=1)
    counters.row(0)[1] += 5
    registry = CollectorRegistry()
    registry.register(SharedCountersCollector(counters))
    facts: dict[str, object] = {}

    def health() -> tuple[bool, Mapping[str, object]]:
        return not facts, facts

    async def more(_: web.Request) -> web.Response:
        return web.Response(text="of the program's own")

    async def look() -> None:
        port = free_port()
        page = f"http://127.0.0.1:{port}"
        async with (
            serve_admin("127.0.0.1", port, registry, health, routes=[web.get("/more", more)]),
            aiohttp.ClientSession() as session,
        ):
            async with session.get(f"{page}/metrics") as answer:
                samples = dict(parse_exposition(await answer.text()))
            assert samples['sluice_answers_total{status="2xx"}'] == 5
            async with session.get(f"{page}/healthz") as answer:
                assert (answer.status, await answer.json()) == (200, {"healthy": True})
            async with session.get(f"{page}/more") as answer:
                assert await answer.text() == "of the program's own"
            facts["map"] = "none yet"
            async with session.get(f"{page}/healthz") as answer:
                expected = {"healthy": False, "map": "none yet"}
                assert (answer.status, await answer.json()) == (503, expected)
            with pytest.raises(OSError, match="address already in use"):
                async with serve_admin("127.0.0.1", port, registry, health):
                    pytest.fail("two programs share a port")

    asyncio.run(look())
