"""One serving core of Sluice beside one of each peer: same bytes, same core, same client, turn about.

Servers run on core 0, the client on core 1; each figure is the median of interleaved runs, and who runs
first changes from round to round. Before anything is measured every server has to give the objects'
own bytes. `--quick` shows that it works, not how fast anything is: figures are for a machine that does
nothing else (`make bench-serving`).
"""

import argparse
import os
import random
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

# Run as a script, not by pytest: the tests' folder is where our packages begin.
sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.serving import matrix, report, telling
from benchmarks.serving.clients.load import Load, LoadFailed
from benchmarks.serving.clients.openssl_client import Handshakes, run_openssl
from benchmarks.serving.clients.reading import FROM_BYTES, run_reader
from benchmarks.serving.clients.wrk import run_wrk
from benchmarks.serving.content import (
    drop_from_memory,
    remove_objects,
    site_in,
    warm,
    write_object,
)
from benchmarks.serving.machine import machine, told
from benchmarks.serving.matrix import Cell, Manner
from benchmarks.serving.peers.roster import ROSTER, require
from benchmarks.serving.peers.running import Peer, Site
from benchmarks.serving.report import Line, Run

TOOLS = (("wrk", "wrk"), ("openssl", "openssl"))
QUICK_SIZES = (64 * matrix.KIB, matrix.MIB)
_FOLDER = "bench/v1"


class Effort(NamedTuple):
    rounds: int
    seconds: int
    cold_bytes: int


def main() -> int:
    arguments = _arguments()
    return telling.run(lambda: _measure(arguments))


def _measure(arguments: argparse.Namespace) -> None:
    manner = Manner(arguments.ranges, arguments.new, arguments.cold, arguments.client)
    peers = _taking_part(arguments.peers, manner)
    require(peers, TOOLS)
    effort = Effort(arguments.rounds, arguments.seconds, matrix.COLD_BYTES)
    sizes = arguments.sizes or matrix.SIZES
    if arguments.quick:
        effort, sizes = Effort(1, 1, 32 * matrix.MIB), arguments.sizes or QUICK_SIZES
    cells = list(matrix.cells(arguments.schemes, sizes, arguments.connections))
    facts = machine(peers)
    heading = f"{manner}; medians of {effort.rounds} run(s) of {effort.seconds} s\n{told(facts)}"
    expected_s = matrix.expected_s(cells, len(peers), effort.rounds, effort.seconds, manner)
    sys.stdout.write(f"{heading}\nabout {expected_s // 60} min {expected_s % 60} s\n")
    sys.stdout.flush()
    measure = _measure_cold if manner.cold else _measure_hot
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        lines: list[Line] = []
        try:
            for of_cell in measure(site_in(Path(folder)), peers, cells, effort, manner):
                lines += of_cell
        finally:
            # One run of many that fails takes nothing of what was measured before with it.
            sys.stdout.write(report.table(lines))
            found = {"machine": facts, "manner": str(manner), "quick": arguments.quick}
            told_lines = [asdict(line) for line in lines]
            telling.write_json(arguments.json, {**found, **effort._asdict(), "lines": told_lines})


def _measure_hot(
    site: Site, peers: Sequence[str], cells: Sequence[Cell], effort: Effort, manner: Manner
) -> Iterator[list[Line]]:
    """All servers of a scheme stand beside each other; who is not measured is stopped."""
    rng = random.Random(1)
    sizes = {matrix.WHOLE_BYTES} if manner.ranges else {cell.size_bytes for cell in cells}
    for size_bytes in sizes:
        write_object(site, _name(size_bytes), size_bytes, rng)
    for scheme in dict.fromkeys(cell.scheme for cell in cells):
        with ExitStack() as stack:
            running: dict[str, Peer] = {}
            for name in _speaking(peers, scheme):
                peer = stack.enter_context(ROSTER[name].start(site.over(scheme)))
                warm(peer, site, map(_name, sizes))
                peer.set_aside()
                running[name] = peer
            for cell in (cell for cell in cells if cell.scheme == scheme):
                runs = _interleaved(running, cell, effort, manner)
                yield report.lines(cell, runs, _client(cell, manner))


def _interleaved(
    peers: Mapping[str, Peer], cell: Cell, effort: Effort, manner: Manner
) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {name: [] for name in peers}
    for number in range(effort.rounds):
        for name in matrix.turns(tuple(peers), number):
            telling.progress(f"{cell.scheme} {cell.size} {cell.connections}: {name} {number + 1}")
            peers[name].bring_back()
            runs[name].append(_run(peers[name], cell, effort.seconds, manner))
            peers[name].set_aside()
    return runs


def _measure_cold(
    site: Site, peers: Sequence[str], cells: Sequence[Cell], effort: Effort, manner: Manner
) -> Iterator[list[Line]]:
    """Each object is read once; a server starts for each run, for a page that it maps stays."""
    for cell in cells:
        count = matrix.cold_files(cell.size_bytes, cell.connections, effort.cold_bytes)
        names = [f"{_FOLDER}/{number}.mp4" for number in range(count)]
        rng = random.Random(1)
        for name in names:
            write_object(site, name, cell.size_bytes, rng)
        os.sync()
        speaking = _speaking(peers, cell.scheme)
        runs: dict[str, list[Run]] = {name: [] for name in speaking}
        for number in range(effort.rounds):
            for name in matrix.turns(speaking, number):
                telling.progress(
                    f"{cell.scheme} {cell.size} {cell.connections}: {name} {number + 1}"
                )
                with ROSTER[name].start(site.over(cell.scheme)) as peer:
                    warm(peer, site, names[:1])
                    drop_from_memory(site, names)
                    runs[name].append(_run(peer, cell, effort.seconds, manner, count))
        yield report.lines(cell, runs, _client(cell, manner))
        remove_objects(site, names)


def _run(peer: Peer, cell: Cell, seconds: int, manner: Manner, cold_files: int = 0) -> Run:
    spent, read = peer.cpu(), peer.disk_bytes()
    try:
        load = _load(peer, cell, seconds, manner, cold_files)
    except LoadFailed as error:
        raise LoadFailed(f"{peer.name}: {error}") from None
    return report.one_run(load, cell.size_bytes, peer.cpu().since(spent), peer.disk_bytes() - read)


def _load(peer: Peer, cell: Cell, seconds: int, manner: Manner, cold_files: int) -> Load:
    if cold_files:
        return run_wrk(
            f"{peer.url}/{_FOLDER}",
            cell.connections,
            seconds,
            anew=manner.anew,
            script="objects.lua",
            arguments=(str(cold_files), "once"),
            may_refuse=True,
        )
    if _client(cell, manner) == "reader":
        whole = matrix.WHOLE_BYTES if manner.ranges else 0
        return run_reader(
            f"{peer.url}/{_name(whole or cell.size_bytes)}",
            cell.connections,
            seconds,
            range_bytes=cell.size_bytes if manner.ranges else 0,
            whole_bytes=whole,
        )
    if manner.ranges:
        return run_wrk(
            f"{peer.url}/{_name(matrix.WHOLE_BYTES)}",
            cell.connections,
            seconds,
            anew=manner.anew,
            script="ranges.lua",
            arguments=(str(cell.size_bytes), str(matrix.WHOLE_BYTES)),
        )
    name = _name(cell.size_bytes)
    if manner.anew and peer.scheme == "https":
        return run_openssl(
            peer.port, name, cell.size_bytes, Handshakes.FULL, cell.connections, seconds
        )
    return run_wrk(f"{peer.url}/{name}", cell.connections, seconds, anew=manner.anew)


def _client(cell: Cell, manner: Manner) -> str:
    if manner.anew and cell.scheme == "https":
        return "openssl"
    return manner.client_of(cell, reader_from_bytes=FROM_BYTES)


def _taking_part(asked: Sequence[str], manner: Manner) -> list[str]:
    """Who can be measured in this manner; why others cannot is said."""
    absent = [name for name in asked if manner.cold and ROSTER[name].no_cold]
    for name in absent:
        sys.stdout.write(f"{name} is left out: {ROSTER[name].no_cold}\n")
    return [name for name in asked if name not in absent]


def _speaking(peers: Sequence[str], scheme: str) -> list[str]:
    silent = [name for name in peers if scheme == "https" and ROSTER[name].no_tls]
    for name in silent:
        sys.stdout.write(f"{name} is left out over TLS: {ROSTER[name].no_tls}\n")
    return [name for name in peers if name not in silent]


def _name(size_bytes: int) -> str:
    return f"{_FOLDER}/{size_bytes}.mp4"


def _arguments() -> argparse.Namespace:
    parser = telling.parser(
        __doc__, "--peers sluice,nginx --sizes 64K,1M --schemes http --rounds 3", seconds=2
    )
    add = parser.add_argument
    add("--sizes", type=_sizes, help="like 64K,2M (default: all six)")
    add("--schemes", type=_schemes, default=matrix.SCHEMES, help="http, https (default: both)")
    add("--connections", type=_counts, default=(32,), help="like 1,32,256 (default: 32)")
    add(
        "--client",
        choices=("auto", "wrk"),
        default="auto",
        help="who asks: wrk, and for MiB and more in the clear a client with larger buffers (auto)",
    )
    add("--ranges", action="store_true", help="ranges of those sizes in one object of 64 MiB")
    add("--new", action="store_true", help="a connection for each request; over TLS in full")
    add("--cold", action="store_true", help="objects that are not in memory, each read once")
    arguments = parser.parse_args()
    if arguments.ranges and (arguments.cold or (arguments.new and "https" in arguments.schemes)):
        parser.error("--ranges goes neither with --cold nor with --new over https")
    return arguments


def _sizes(text: str) -> list[int]:
    try:
        return [matrix.parse_size(each) for each in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _schemes(text: str) -> list[str]:
    if not set(text.split(",")) <= set(matrix.SCHEMES):
        raise argparse.ArgumentTypeError(f"{text!r}, expected http, https or both")
    return text.split(",")


def _counts(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
