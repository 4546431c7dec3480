"""What fill takes from viewers: how long hot objects take to be sent, while the box fills and while it does not.

A serving worker on core 0 sends a hot object to one client at a steady rate; the client counts from when a
request was due to the last byte, so that one that is late makes those behind it late too. The client stands on
the worker's core and goes before all else there: the two never have work at once, and on another core it would
wait for the kernel's copies of the fill. The source of the fill stands on core 1, as it would on another machine.
The fill stands back as in `sluice-appliance run` with one worker, but for the pauses that serving under pressure
makes. Ways are measured in turns, each when what the last one wrote is on the disk.
"""

import gc
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from benchmarks.fill.sources import Film, put, serving

HOT_KEY = "hot/v1/a.mp4"
SERVING_CORE, OTHER_CORE = 0, 1
_PACED_BITS_PER_S = 400e6


class Way(NamedTuple):
    """How the box fills meanwhile; None: not at all."""

    name: str
    words: Sequence[str] | None


WAYS = (
    Way("no fill", None),
    Way("paced, 400 Mbit/s", (str(_PACED_BITS_PER_S),)),
    Way("as fast as it goes", ()),
)
# What standing back is worth.
ABLATED = Way("as fast, not standing back", ("--as-serving",))


class Seen(NamedTuple):
    """Of one way in one round."""

    p50_ms: float
    p99_ms: float
    fill_mib_per_s: float


class Effort(NamedTuple):
    rounds: int
    seconds: float
    requests_per_s: float
    hot_bytes: int


def measure(folder: Path, film: Film, effort: Effort, ways: Sequence[Way]) -> dict[str, list[Seen]]:
    """Of each way, a value a round."""
    hot = folder / "hot.mp4"
    hot.write_bytes(os.urandom(effort.hot_bytes))
    put(folder / "served", HOT_KEY, hot)
    seen: dict[str, list[Seen]] = {way.name: [] for way in ways}
    with (
        serving(folder / "served", ["taskset", "-c", str(SERVING_CORE)]) as url,
        serving(film.store, ["taskset", "-c", str(OTHER_CORE)]) as source,
    ):
        for number in range(effort.rounds):
            for way in (*ways[number % len(ways) :], *ways[: number % len(ways)]):
                with _filling(folder / "store", source, film, way) as rates:
                    times_ms = _ask_steadily(url, effort)
                seen[way.name].append(_seen(times_ms, rates))
    return seen


def table(seen: dict[str, list[Seen]]) -> str:
    idle_ms = statistics.median(one.p99_ms for one in next(iter(seen.values())))
    lines = [f"{'':28} {'p50 ms':>8} {'p99 ms':>8} {'of no fill':>10} {'fill MiB/s':>10}"]
    for name, ones in seen.items():
        p50, p99, rate = (statistics.median(values) for values in zip(*ones, strict=True))
        lines.append(f"{name:28} {p50:8.3f} {p99:8.3f} {p99 / idle_ms:10.2f} {rate:10.0f}")
    return "\n".join(lines) + "\n"


def _seen(times_ms: Sequence[float], rates: Sequence[float]) -> Seen:
    ordered = sorted(times_ms)
    return Seen(
        statistics.median(ordered),
        ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))],
        statistics.fmean(rates) if rates else 0.0,
    )


@contextmanager
def _filling(store: Path, source: str, film: Film, way: Way) -> Iterator[list[float]]:
    """Its rates are there when the block has ended."""
    rates: list[float] = []
    if way.words is None:
        yield rates
        return
    program = Path(__file__).with_name("filling.py")
    words = [sys.executable, str(program), str(store), source, str(film.facts), *way.words]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            # Its start is not what is measured.
            process.stdout.readline()
            yield rates
        finally:
            process.kill()
        said = process.stdout.read()
        if process.wait() != -signal.SIGKILL:
            raise SystemExit(f"bench: the fill ended by itself\n{said}")
        rates += [float(line) for line in said.split()]
    os.sync()


def _ask_steadily(url: str, effort: Effort) -> list[float]:
    """Milliseconds from when each request was due until all of its answer was here."""
    parts = urlsplit(url)
    request = f"GET /{HOT_KEY} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
    room = bytearray(effort.hot_bytes)
    times_ms: list[float] = []
    with (
        _before_all_else(),
        socket.create_connection((str(parts.hostname), int(parts.port or 80))) as server,
    ):
        began_at = time.perf_counter()
        for number in range(int(effort.seconds * effort.requests_per_s)):
            due_at = began_at + number / effort.requests_per_s
            time.sleep(max(0.0, due_at - time.perf_counter()))
            server.sendall(request)
            _receive(server, room)
            times_ms.append((time.perf_counter() - due_at) * 1e3)
    return times_ms


def _receive(server: socket.socket, room: bytearray) -> None:
    seen = b""
    while b"\r\n\r\n" not in seen:
        seen = server.recv(4096, socket.MSG_PEEK)
    server.recv(seen.index(b"\r\n\r\n") + 4)
    if server.recv_into(room, len(room), socket.MSG_WAITALL) != len(room):
        raise SystemExit("bench: the server closed the connection")


@contextmanager
def _before_all_else() -> Iterator[None]:
    """This process on its core, before what else runs there where the system allows it."""
    cores, policy = os.sched_getaffinity(0), os.sched_getscheduler(0)
    gc.collect()
    gc.disable()
    os.sched_setaffinity(0, cores & {SERVING_CORE} or cores)
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, os.sched_param(0))
        os.sched_setaffinity(0, cores)
        gc.enable()
