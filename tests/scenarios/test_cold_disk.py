"""A disk of 20 MB/s under 32 clients: who asks the same worker for what is in memory notices nothing."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import pytest
from appliance.serving.serve_process import Served, serve
from appliance.serving.slow_disk import BYTES_PER_S, slow_disk
from scenarios.cold_disk import (
    COLD_BYTES,
    beside_cold_clients,
    hot_latencies_ms,
    p99,
    pace,
    part_cores,
    put_cold_objects,
    put_hot_object,
    until_after,
)

CLIENTS = 32
# In turns, so that whatever else the machine does falls on both: beside an idle disk, beside a busy one.
PHASES = 7
IDLE_S = 1.0
# A phase's cold objects: more than a second of the slow disk.
COLD_OBJECTS = 18
DISK_BYTES = 256 * 1024 * 1024
# A neighbour of the machine may take a core for some phases: there are then more, and all of them count.
ATTEMPTS = 3


@pytest.fixture
def cores() -> Iterator[None]:
    """Those that the test had come back to it."""
    had = os.sched_getaffinity(0)
    yield
    os.sched_setaffinity(0, had)


@pytest.mark.usefixtures("cores")
def test_a_slow_disk_under_32_clients_leaves_what_is_in_memory_as_fast_as_before(
    tmp_path: Path,
) -> None:
    idle_ms: list[float] = []
    busy_ms: list[float] = []
    with slow_disk(tmp_path, size_bytes=DISK_BYTES) as disk:
        store = tmp_path / "store"
        put_hot_object(store)
        phases = [put_cold_objects(store, disk, f"{n}", COLD_OBJECTS) for n in range(PHASES)]
        with serve(store) as served:
            [worker] = served.workers()
            part_cores(worker)
            for _ in range(ATTEMPTS):
                disk.evict()
                disk.slow_down(worker)
                hot_latencies_ms(served, until_after(0.3))
                for idle, busy in _in_turns(served, phases):
                    idle_ms.append(idle)
                    busy_ms.append(busy)
                print(f"hot requests, p99: idle {idle_ms} ms, busy {busy_ms} ms")
                if median(busy_ms) <= 2 * median(idle_ms):
                    break
            counters = served.counters()
    wanted_bytes = len(busy_ms) * COLD_OBJECTS * COLD_BYTES
    assert counters["sluice_appliance_read_ahead_bytes_total"] >= wanted_bytes
    assert counters["sluice_appliance_read_aheads_failed_total"] == 0
    assert median(busy_ms) <= 2 * median(idle_ms), f"p99: busy {busy_ms} ms, idle {idle_ms} ms"


def _in_turns(served: Served, phases: Sequence[dict[str, str]]) -> Iterator[tuple[float, float]]:
    """The p99 of hot requests in each phase, beside an idle disk and beside a busy one, in ms."""
    for digests in phases:
        idle_ms = p99(hot_latencies_ms(served, until_after(IDLE_S)))
        latencies_ms, fetched = beside_cold_clients(served, digests, clients=CLIENTS)
        assert pace(fetched) < 2 * BYTES_PER_S, "the disk is not slow"
        yield idle_ms, p99(latencies_ms)
