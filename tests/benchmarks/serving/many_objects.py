"""One worker over a store of 1,000,000 objects beside the same over 10: the same hot figures, within 5 %.

Then objects drawn at random from all of them, which the worker mostly has to open first. Bodies are
holes of 4 KiB, so that a million take some 4 GB: what grows here is folders, inodes and headers.
"""

import hashlib
import os
import shutil
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

# Run as a script, not by pytest: the tests' folder is where our packages begin.
sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.serving import matrix, telling
from benchmarks.serving.clients.load import Load
from benchmarks.serving.clients.wrk import run_wrk
from benchmarks.serving.content import CONTENT_TYPE
from benchmarks.serving.machine import machine, told
from benchmarks.serving.peers.roster import require
from benchmarks.serving.peers.running import Peer, Site
from benchmarks.serving.peers.sluice import sluice

from sluice_appliance.store.layout import (
    BODY_OFFSET,
    WITHOUT_BLOCKS,
    ObjectHeader,
    encode_header,
    object_path,
    parse_key,
)

MANY = 1_000_000
MANY_QUICK = 10_000
FEW = 10
SIZE_BYTES = 4 * matrix.KIB
_FOLDER = "bench/v1"
_CONNECTIONS = 32
_PART = 10_000
_DIGEST = hashlib.sha256(bytes(SIZE_BYTES)).digest()


@dataclass(frozen=True, slots=True)
class Line:
    """Medians; `asked_for` is how many objects the requests were spread over."""

    store: int
    asked_for: int
    requests_per_s: float
    cpu_us_per_request: float
    p99_ms: float
    memory_mb: float
    # Of all runs: what was not in memory, and more than the disk bears.
    refused: int


def main() -> int:
    parser = telling.parser(__doc__, "--objects 100000 --folder DIR", seconds=2)
    parser.add_argument(
        "--objects", type=int, default=MANY, help=f"in the large store (default: {MANY:,})"
    )
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", help="make the stores under it (default: in $TMPDIR)"
    )
    arguments = parser.parse_args()
    return telling.run(lambda: _measure(arguments))


def _measure(arguments: Namespace) -> None:
    require([], (("wrk", "wrk"),))
    rounds, seconds, many = arguments.rounds, arguments.seconds, arguments.objects
    if arguments.quick:
        rounds, seconds, many = 1, 1, MANY_QUICK
    facts = machine(["sluice"])
    sys.stdout.write(f"{rounds} run(s) of {seconds} s; {told(facts)}\n")
    with tempfile.TemporaryDirectory(prefix="sluice-bench-", dir=arguments.folder) as folder:
        made_s = {count: make_store(Path(folder) / str(count), count) for count in (FEW, many)}
        sys.stdout.write(f"{many:,} objects were made in {made_s[many]:.0f} s\n")
        sys.stdout.flush()
        lines = _compared(Path(folder), many, rounds, seconds)
        telling.progress("removing them")
        shutil.rmtree(Path(folder) / str(many))
    sys.stdout.write(_table(lines))
    found = {"machine": facts, "rounds": rounds, "seconds": seconds, "quick": arguments.quick}
    found |= {"made_s": made_s[many], "hot_kept": hot_kept(lines)}
    telling.write_json(arguments.json, {**found, "lines": [asdict(line) for line in lines]})


def _compared(folder: Path, many: int, rounds: int, seconds: int) -> list[Line]:
    """(objects in the store, objects asked for): the same ten of both, then any of the many."""
    cases = ((FEW, FEW), (many, FEW), (many, many))
    runs: dict[tuple[int, int], list[tuple[Load, float]]] = {case: [] for case in cases}
    with ExitStack() as stack:
        peers: dict[int, Peer] = {}
        for count in (FEW, many):
            root = folder / str(count)
            site = Site(root, root, root, None)
            peers[count] = stack.enter_context(sluice(site))
            peers[count].set_aside()
        for case in cases[:2]:
            _run(peers[case[0]], FEW, 1, may_refuse=True)  # what is hot was asked for before
        # Hot requests first, all rounds of them: what was opened at random is not to slow them.
        for number in range(rounds):
            for case in cases[:2] if number % 2 == 0 else reversed(cases[:2]):
                runs[case].append(_run(peers[case[0]], case[1], seconds))
        for _ in range(rounds):
            runs[cases[2]].append(_run(peers[many], many, seconds, may_refuse=True))
        memory_mb = {count: _memory_mb(peer) for count, peer in peers.items()}
    return [_line(case, of_case, memory_mb) for case, of_case in runs.items()]


def _run(
    peer: Peer, asked_for: int, seconds: int, *, may_refuse: bool = False
) -> tuple[Load, float]:
    telling.progress(f"{asked_for:,} objects asked for")
    peer.bring_back()
    spent = peer.cpu()
    load = run_wrk(
        f"{peer.url}/{_FOLDER}",
        _CONNECTIONS,
        seconds,
        script="objects.lua",
        arguments=(str(asked_for), "random"),
        may_refuse=may_refuse,
    )
    cpu_us = peer.cpu().since(spent).total_s * 1e6 / load.requests
    peer.set_aside()
    return load, cpu_us


def _memory_mb(peer: Peer) -> float:
    return peer.memory_bytes() / 1e6


def _line(
    case: tuple[int, int], runs: Sequence[tuple[Load, float]], memory_mb: Mapping[int, float]
) -> Line:
    return Line(
        *case,
        median(load.requests_per_s for load, _ in runs),
        median(cpu_us for _, cpu_us in runs),
        median(load.p99_ms or 0.0 for load, _ in runs),
        memory_mb[case[0]],
        sum(load.refused for load, _ in runs),
    )


def hot_kept(lines: Sequence[Line]) -> float:
    """Hot requests/s of the large store, of those of the small one."""
    return lines[1].requests_per_s / lines[0].requests_per_s


def make_store(root: Path, count: int) -> float:
    """Makes `0.mp4` to `count - 1` valid objects; returns the seconds that it took."""
    began_s = time.monotonic()
    for byte in range(256):
        Path(f"{root}/objects/{byte:02x}").mkdir(parents=True)
    parts = [(str(root), first, min(first + _PART, count)) for first in range(0, count, _PART)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for number, _ in enumerate(pool.map(_make_objects, parts)):
            telling.progress(f"making objects: {number * _PART:,} of {count:,}")
    if count > MANY_QUICK:
        # What is still to be written would be written while we measure.
        os.sync()
    return time.monotonic() - began_s


def _make_objects(part: tuple[str, int, int]) -> None:
    root, first, end = part
    for number in range(first, end):
        key = parse_key(f"{_FOLDER}/{number}.mp4")
        header = encode_header(ObjectHeader(key, SIZE_BYTES, _DIGEST, CONTENT_TYPE), WITHOUT_BLOCKS)
        descriptor = os.open(object_path(root, key), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(descriptor, header)
        os.ftruncate(descriptor, BODY_OFFSET + SIZE_BYTES)
        os.close(descriptor)


def _table(lines: Sequence[Line]) -> str:
    heading = f"{'objects':>10} {'asked for':>10} {'req/s':>9} {'us CPU':>7} {'p99 ms':>7}"
    text = [f"{heading} {'memory MB':>10} {'refused':>8}"]
    text += [
        f"{line.store:10,} {line.asked_for:10,} {line.requests_per_s:9,.0f}"
        f" {line.cpu_us_per_request:7.1f} {line.p99_ms:7.2f} {line.memory_mb:10.1f} {line.refused:8,}"
        for line in lines
    ]
    return "\n".join((*text, f"hot requests kept: {hot_kept(lines):.2f}")) + "\n"


if __name__ == "__main__":
    sys.exit(main())
