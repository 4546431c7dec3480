"""What the fill sees of the machine: its network cards, and how its workers do."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence

import psutil
from appliance.deadline import until

from sluice_appliance.fill.surroundings import ServingLoad, received_bytes
from sluice_appliance.metrics import serving_counters
from sluice_runtime.counters import SharedCounters, index_of

WORKERS = 2


class Pool:
    def __init__(self, *pids: int) -> None:
        self.pids = pids

    def worker_pids(self) -> Sequence[int]:
        return self.pids


def count(counters: SharedCounters, worker: int, name: str, size: int, **labels: str) -> None:
    counters.row(worker)[index_of(counters.specs, f"sluice_appliance_{name}", **labels)] += size


def test_what_loopback_carries_is_nobodys_link() -> None:
    size = 32 << 20
    before = received_bytes()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            client, _ = server.accept()
            with client:
                while client.recv(1 << 20):
                    pass

        taking = threading.Thread(target=take)
        taking.start()
        with socket.create_connection(server.getsockname()) as sending:
            sending.sendall(bytes(size))
        taking.join()
    assert 0 <= received_bytes() - before < size / 2
    assert received_bytes() <= sum(
        card.bytes_recv for card in psutil.net_io_counters(pernic=True).values()
    )


def test_a_look_tells_what_came_since_the_last_one_for_each_worker() -> None:
    counters = serving_counters(WORKERS)
    count(counters, 0, "shed_total", 5, reason="disk_busy")
    load = ServingLoad(Pool(), counters)
    load._pool.pids = (1 << 22, (1 << 22) + 1)  # type: ignore[attr-defined]
    assert load.look().shed == 0
    count(counters, 0, "shed_total", 2, reason="disk_busy")
    count(counters, 1, "shed_total", 1, reason="read_ahead_full")
    # Four looks a second of each of two workers: each was 10 ms late, and had 6 of 8 reads waiting.
    count(counters, 0, "loop_late_microseconds_total", 40_000)
    count(counters, 1, "loop_late_microseconds_total", 40_000)
    count(counters, 1, "disk_queue_total", 48)
    seen = load.look()
    assert (seen.shed, seen.disk_queue) == (3, 0.75)
    assert abs(seen.loop_lag_s - 0.01) < 1e-9
    again = load.look()
    assert (again.shed, again.disk_queue, again.loop_lag_s) == (0, 0.0, 0.0)


def test_the_busiest_worker_counts_and_one_that_has_ended_is_passed_over() -> None:
    program = "while True: pass"
    with subprocess.Popen([sys.executable, "-c", program]) as busy:
        try:
            idle = subprocess.Popen(
                [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            pool = Pool(busy.pid, idle.pid)
            load = ServingLoad(pool, serving_counters(WORKERS))
            assert load.look().cpu == 0.0
            seen = until("a worker that never rests is seen", lambda: load.look().cpu > 0.05)
            asyncio.run(seen)
            idle.communicate(b"\n")
            assert load.look().cpu >= 0.0
        finally:
            busy.kill()
    busy.wait()
    assert load.look().cpu == 0.0
    pool.pids = ()
    assert load.look().cpu == 0.0
