"""A worker with a hot object in memory and cold ones on a slow disk, and those who ask for both at once."""

import itertools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from appliance.serving.serve_process import Served, put_object
from appliance.serving.slow_disk import SlowDisk

from sluice_appliance.store.layout import object_path, parse_key

# Of two windows, the second of which is not whole.
COLD_BYTES = 3 * 512 * 1024 + 77
HOT_KEY = "film/v1/hot.mp4"
HOT_BYTES = 64 * 1024
HOT_EVERY_S = 0.002
# The same state is a thread's that waits for other cores, as when a table of descriptors grows. A loop
# that waits for its disk is in it nearly always.
DISK_WAITS_MAX = 0.05


def put_hot_object(store: Path) -> None:
    put_object(store, HOT_KEY, os.urandom(HOT_BYTES))


def put_cold_objects(store: Path, disk: SlowDisk, name: str, count: int) -> dict[str, str]:
    """Puts objects whose folders stand on the slow disk; returns their digests by path."""
    digests: dict[str, str] = {}
    for number in itertools.count():
        if len(digests) == count:
            break
        key = f"film/v1/{name}-{number}.mp4"
        if not stand_on(disk.path, store, key):
            # In the folder of the hot object.
            continue
        digests[f"/{key}"] = put_object(store, key, os.urandom(COLD_BYTES)).hex()
    return digests


def stand_on(disk: Path, store: Path, key: str) -> bool:
    """Lets the folder of an object stand on a disk; False where it stands elsewhere already."""
    folder = Path(object_path(str(store), parse_key(key))).parent
    if folder.exists():
        return folder.is_symlink()
    there = disk / folder.name
    there.mkdir()
    folder.symlink_to(there)
    return True


def part_cores(worker: int) -> None:
    """Gives the worker a core that neither this process nor those that it starts will use."""
    ours, *others = sorted(os.sched_getaffinity(0))
    if not others:
        return
    for thread in os.listdir(f"/proc/{worker}/task"):
        os.sched_setaffinity(int(thread), others[-1:])
    os.sched_setaffinity(0, [ours])


def beside_cold_clients(
    served: Served, digests: dict[str, str], *, clients: int
) -> tuple[list[float], dict[str, Any]]:
    """(latencies of hot requests meanwhile, what the cold clients got): all of it, and right."""
    [worker] = served.workers()
    numbers = map(str, (served.port, clients, worker))
    argv = [sys.executable, "-m", "scenarios.cold_clients", *numbers]
    folder = Path(__file__).parents[1]
    with subprocess.Popen(
        argv, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as fetching:
        try:
            # They share a core with the client that measures: it comes first.
            os.sched_setscheduler(fetching.pid, os.SCHED_IDLE, os.sched_param(0))
            assert fetching.stdin is not None
            fetching.stdin.write(json.dumps(digests))
            fetching.stdin.close()
            latencies_ms = hot_latencies_ms(served, lambda: fetching.poll() is not None)
            assert fetching.stdout is not None
            fetched: dict[str, Any] = json.loads(fetching.stdout.read())
        finally:
            fetching.kill()
    print(f"cold: {fetched}, {pace(fetched) / 1e6:.1f} MB/s")
    assert fetched["wrong"] == []
    assert fetched["objects"] == len(digests)
    waits = sum(fetched["disk_waits"].values())
    assert waits <= DISK_WAITS_MAX * fetched["looks"], "the loop waits for the disk"
    return latencies_ms, fetched


def pace(fetched: dict[str, Any]) -> float:
    """Bytes per second."""
    return float(fetched["bytes"] / fetched["seconds"])


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
            _read_answer(client, memoryview(buffer))
            latencies_ms.append((time.perf_counter() - due) * 1e3)
            assert buffer.startswith(b"HTTP/1.1 200")
            due += HOT_EVERY_S
    return latencies_ms


def _read_answer(client: socket.socket, buffer: memoryview) -> None:
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
