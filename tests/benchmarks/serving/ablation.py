"""What each part of the serving worker is worth: the worker without it beside the whole one, in turns.

Over HTTP, or over TLS for a part of TLS. Read-ahead is worth nothing where all is in memory, and costs a
little there: so hot and cold both. What it is for, hot requests that a cold disk does not hold up, is
a scenario's to show (tests/scenarios/test_cold_disk.py).
"""

import os
import random
import sys
import tempfile
from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

# Run as a script, not by pytest: the tests' folder is where our packages begin.
sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.serving import matrix, telling
from benchmarks.serving.ablated import PARTS
from benchmarks.serving.clients.wrk import run_wrk
from benchmarks.serving.content import drop_from_memory, site_in, warm, write_object
from benchmarks.serving.machine import machine, told
from benchmarks.serving.peers.roster import require
from benchmarks.serving.peers.running import Peer, Site
from benchmarks.serving.peers.sluice import sluice

SIZES = (4 * matrix.KIB, 64 * matrix.KIB, matrix.MIB, 4 * matrix.MIB)
QUICK_SIZES = (64 * matrix.KIB,)
_CONNECTIONS = 32
_COLD_SIZE = matrix.MIB
_FOLDER = "bench/v1"
# No part is called nothing: the whole worker.
_WHOLE = ""


class Run(NamedTuple):
    requests_per_s: float
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Line:
    """Medians; ratios are to the whole worker in the same rounds. `manner`: http, https or cold."""

    part: str
    manner: str
    size: str
    requests_per_s: float
    cpu_us_per_request: float
    rate_of_whole: float
    cpu_of_whole: float


def main() -> int:
    parser = telling.parser(__doc__, "--parts sendfile,uvloop --rounds 3", seconds=2)
    parser.add_argument(
        "--parts",
        type=lambda text: text.split(","),
        default=list(PARTS),
        help=f"comma-separated: {', '.join(PARTS)} (all)",
    )
    arguments = parser.parse_args()
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        parser.error(f"--parts: {unknown}, expected some of {','.join(PARTS)}")
    return telling.run(lambda: _measure(arguments))


def _measure(arguments: Namespace) -> None:
    require([], (("wrk", "wrk"),))
    rounds, seconds = arguments.rounds, arguments.seconds
    sizes: Sequence[int] = SIZES
    cold_bytes = matrix.COLD_BYTES
    if arguments.quick:
        rounds, seconds, sizes, cold_bytes = 1, 1, QUICK_SIZES, 32 * matrix.MIB
    facts = machine(["sluice"])
    sys.stdout.write(f"medians of {rounds} run(s) of {seconds} s; {told(facts)}\n")
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        site = site_in(Path(folder))
        for size_bytes in sizes:
            write_object(site, _name(size_bytes), size_bytes, random.Random(1))
        for scheme in matrix.SCHEMES:
            parts = [part for part in arguments.parts if PARTS[part].scheme == scheme]
            if parts:
                lines += _hot(site.over(scheme), parts, sizes, rounds, seconds)
        parts = [part for part in arguments.parts if PARTS[part].cold]
        if parts:
            lines += _cold(site.over("http"), parts, cold_bytes, rounds, seconds)
    sys.stdout.write(_table(lines))
    found = {"machine": facts, "rounds": rounds, "seconds": seconds, "quick": arguments.quick}
    telling.write_json(arguments.json, {**found, "lines": [asdict(line) for line in lines]})


def _hot(
    site: Site, parts: Sequence[str], sizes: Sequence[int], rounds: int, seconds: int
) -> list[Line]:
    lines: list[Line] = []
    with ExitStack() as stack:
        peers: dict[str, Peer] = {}
        for part in (_WHOLE, *parts):
            peers[part] = stack.enter_context(sluice(site, part))
            warm(peers[part], site, map(_name, sizes))
            peers[part].set_aside()
        for size_bytes in sizes:
            runs: dict[str, list[Run]] = {part: [] for part in peers}
            for number in range(rounds):
                for part in matrix.turns(tuple(peers), number):
                    telling.progress(f"{site.scheme} {matrix.label(size_bytes)} without {part}")
                    peers[part].bring_back()
                    runs[part].append(_run(peers[part], _name(size_bytes), seconds))
                    peers[part].set_aside()
            lines += _lines(runs, site.scheme, size_bytes)
    return lines


def _cold(
    site: Site, parts: Sequence[str], cold_bytes: int, rounds: int, seconds: int
) -> list[Line]:
    """Every object once, from the disk; workers start anew for each run, as in `bench.py`."""
    count = matrix.cold_files(_COLD_SIZE, _CONNECTIONS, cold_bytes)
    names = [f"{_FOLDER}/{number}.mp4" for number in range(count)]
    for name in names:
        write_object(site, name, _COLD_SIZE, random.Random(1))
    os.sync()
    runs: dict[str, list[Run]] = {part: [] for part in (_WHOLE, *parts)}
    for number in range(rounds):
        for part in matrix.turns(tuple(runs), number):
            telling.progress(f"cold without {part}")
            with sluice(site, part) as peer:
                warm(peer, site, names[:1])
                drop_from_memory(site, names)
                runs[part].append(_run(peer, _FOLDER, seconds, str(count), "once"))
    return _lines(runs, "cold", _COLD_SIZE)


def _run(peer: Peer, path: str, seconds: int, *many: str) -> Run:
    spent = peer.cpu()
    script = "objects.lua" if many else ""
    url, cold = f"{peer.url}/{path}", bool(many)
    load = run_wrk(url, _CONNECTIONS, seconds, script=script, arguments=many, may_refuse=cold)
    cpu_s = peer.cpu().since(spent).total_s
    return Run(load.requests_per_s, cpu_s * 1e6 / load.requests)


def _lines(runs: Mapping[str, Sequence[Run]], manner: str, size_bytes: int) -> list[Line]:
    rates = {part: median(run.requests_per_s for run in of_part) for part, of_part in runs.items()}
    cpu_us = {part: median(run.cpu_us for run in of_part) for part, of_part in runs.items()}
    return [
        Line(
            part,
            manner,
            matrix.label(size_bytes),
            rates[part],
            cpu_us[part],
            rates[part] / rates[_WHOLE],
            cpu_us[part] / cpu_us[_WHOLE] if cpu_us[_WHOLE] else 1.0,
        )
        for part in runs
    ]


def _table(lines: Sequence[Line]) -> str:
    text = [
        f"{'':6}{'object':>8} {'without':20} {'req/s':>9} {'of whole':>9} {'us CPU':>8} {'times':>6}"
    ]
    text += [
        f"{line.manner:6}{line.size:>8} {line.part or '(nothing)':20} {line.requests_per_s:9,.0f}"
        f" {line.rate_of_whole:9.2f} {line.cpu_us_per_request:8,.1f} {line.cpu_of_whole:6.2f}"
        for line in lines
    ]
    return "\n".join(text) + "\n"


def _name(size_bytes: int) -> str:
    return f"{_FOLDER}/size-{size_bytes}.mp4"


if __name__ == "__main__":
    sys.exit(main())
