"""A slow disk asked by more clients than it bears: some are sent elsewhere, and nobody in vain."""

from collections.abc import Mapping
from pathlib import Path

from appliance.serving.serve_process import serve
from appliance.serving.slow_disk import BYTES_PER_S, slow_disk
from scenarios.cold_disk import (
    beside_cold_clients,
    pace,
    put_cold_objects,
    put_hot_object,
)

CLIENTS = 64
# Two to three seconds of the slow disk.
COLD_OBJECTS = 40
DISK_BYTES = 256 * 1024 * 1024
SHED = "sluice_appliance_shed_total"


def shed(counters: Mapping[str, float]) -> float:
    return sum(value for name, value in counters.items() if name.startswith(SHED))


def test_a_disk_that_has_enough_to_do_sheds_and_works_on_at_its_rate(tmp_path: Path) -> None:
    with slow_disk(tmp_path, size_bytes=DISK_BYTES) as disk:
        store = tmp_path / "store"
        put_hot_object(store)
        slow = put_cold_objects(store, disk, "slow", COLD_OBJECTS)
        after = put_cold_objects(store, disk, "after", CLIENTS)
        disk.evict()
        with serve(store) as served:
            [worker] = served.workers()
            disk.slow_down(worker)
            hot_ms, fetched = beside_cold_clients(served, slow, clients=CLIENTS)
            counters = served.counters()
            assert fetched["shed"] > 0
            assert shed(counters) == fetched["shed"]
            assert 0.8 * BYTES_PER_S < pace(fetched) < 2 * BYTES_PER_S
            assert len(hot_ms) > 100
            disk.heal()
            _, fetched = beside_cold_clients(served, after, clients=CLIENTS)
            assert fetched["shed"] == 0
            assert shed(served.counters()) == shed(counters)
