"""A disk of 20 MB/s under 32 clients: who asks the same worker for what is in memory notices nothing."""

import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from appliance.serving.serve_process import Served, put_object, serve
from appliance.serving.slow_disk import BYTES_PER_S, SlowDisk, slow_disk

from sluice_appliance.store.layout import object_path, parse_key

CLIENTS = 32
# A machine that does other things too is now and then slow by itself: the median counts.
ROUNDS = 3
# A round's cold objects, of two windows each: two seconds of the slow disk.
COLD_OBJECTS = 28
COLD_BYTES = 3 * 512 * 1024 + 77
HOT_KEY = "film/v1/hot.mp4"
HOT_BYTES = 64 * 1024
HOT_EVERY_S = 0.002
IDLE_S = 2.0
# The same state is a thread's that waits for other cores, as when a table of descriptors grows. A loop
# that waits for its disk is in it nearly always.
DISK_WAITS_MAX = 0.05
DISK_BYTES = 256 * 1024 * 1024


def test_a_slow_disk_under_32_clients_leaves_what_is_in_memory_as_fast_as_before(
    tmp_path: Path,
) -> None:
    with slow_disk(tmp_path, size_bytes=DISK_BYTES) as disk:
        store = tmp_path / "store"
        put_object(store, HOT_KEY, os.urandom(HOT_BYTES))
        rounds = [put_cold_objects(store, disk, number) for number in range(ROUNDS)]
        disk.evict()
        with serve(store) as served:
            [worker] = served.workers()
            disk.slow_down(worker)
            hot_latencies_ms(served, until_after(0.3))
            slower = [times_slower(served, digests) for digests in rounds]
            counters = served.counters()
    cold_bytes = ROUNDS * COLD_OBJECTS * COLD_BYTES
    assert counters["sluice_appliance_read_ahead_bytes_total"] >= cold_bytes
    assert counters["sluice_appliance_read_aheads_failed_total"] == 0
    assert statistics.median(slower) <= 2, f"p99 beside a busy disk is {slower} times an idle one's"


def times_slower(served: Served, digests: dict[str, str]) -> float:
    """One round: p99 of hot requests beside a busy disk, in that beside an idle one."""
    idle_ms = hot_latencies_ms(served, until_after(IDLE_S))
    busy_ms = while_cold_objects_are_fetched(served, digests)
    print(
        f"hot requests, p99: {p99(idle_ms):.3f} ms of {len(idle_ms)} beside an idle disk,"
        f" {p99(busy_ms):.3f} ms of {len(busy_ms)} beside a busy one; longest {max(busy_ms):.1f} ms"
    )
    return p99(busy_ms) / p99(idle_ms)


def put_cold_objects(store: Path, disk: SlowDisk, number: int) -> dict[str, str]:
    """Puts objects whose folders stand on the slow disk; returns their digests by path."""
    digests = {}
    for each in range(COLD_OBJECTS):
        key = f"film/v1/cold-{number}-{each}.mp4"
        folder = Path(object_path(str(store), parse_key(key))).parent
        there = disk.path / folder.name
        if not folder.is_symlink():
            assert not folder.exists(), "name the hot object otherwise: this folder is its own"
            there.mkdir()
            folder.symlink_to(there)
        digests[f"/{key}"] = put_object(store, key, os.urandom(COLD_BYTES)).hex()
    return digests


def while_cold_objects_are_fetched(served: Served, digests: dict[str, str]) -> list[float]:
    """The latencies of hot requests meanwhile; the cold ones must arrive, right, at the disk's pace."""
    [worker] = served.workers()
    numbers = map(str, (served.port, CLIENTS, worker))
    argv = [sys.executable, "-m", "scenarios.cold_clients", *numbers]
    folder = Path(__file__).parents[1]
    with subprocess.Popen(
        argv, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as clients:
        try:
            assert clients.stdin is not None
            clients.stdin.write(json.dumps(digests))
            clients.stdin.close()
            latencies_ms = hot_latencies_ms(served, lambda: clients.poll() is not None)
            assert clients.stdout is not None
            fetched: dict[str, Any] = json.loads(clients.stdout.read())
        finally:
            clients.kill()
    pace = fetched["bytes"] / fetched["seconds"]
    print(f"cold: {fetched}, {pace / 1e6:.1f} MB/s")
    assert fetched["wrong"] == []
    assert fetched["objects"] == len(digests)
    assert pace < 2 * BYTES_PER_S, "the disk is not slow"
    assert fetched["disk_waits"] <= DISK_WAITS_MAX * fetched["looks"], "the loop waits for the disk"
    return latencies_ms


def hot_latencies_ms(served: Served, ended: Callable[[], bool]) -> list[float]:
    """One client asks for the hot object so often a second. Each latency counts from when its request
    was due: a worker that stands still for a second is late for all that were due in it."""
    latencies_ms = []
    buffer = bytearray(2 * HOT_BYTES)
    with closing(served.connect()) as client:
        due = time.perf_counter()
        while not ended():
            time.sleep(max(0.0, due - time.perf_counter()))
            client.sendall(f"GET /{HOT_KEY} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            read_answer(client, memoryview(buffer))
            latencies_ms.append((time.perf_counter() - due) * 1e3)
            assert buffer.startswith(b"HTTP/1.1 200")
            due += HOT_EVERY_S
    return latencies_ms


def read_answer(client: socket.socket, buffer: memoryview) -> None:
    """Reads a head and the hot object; the head comes whole with the first bytes."""
    read = client.recv_into(buffer)
    whole = bytes(buffer[:read]).index(b"\r\n\r\n") + 4 + HOT_BYTES
    while read < whole:
        more = client.recv_into(buffer[read:whole])
        assert more, f"the connection ended after {read} of {whole} bytes"
        read += more


def until_after(seconds: float) -> Callable[[], bool]:
    end = time.perf_counter() + seconds
    return lambda: time.perf_counter() > end


def p99(latencies_ms: list[float]) -> float:
    return sorted(latencies_ms)[len(latencies_ms) * 99 // 100]
