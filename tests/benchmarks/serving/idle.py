"""What 15,000 idle keep-alive connections cost one worker: memory for each, and speed of the others.

Hot requests are measured before the idle ones come, while they are there and when they have left,
beside nginx. Memory is the processes' own (PSS of all of a server's processes): what the kernel keeps
for a socket is the same for every server and is not in it, nor is what a server sets aside when it
starts, as nginx does with some 400 bytes for each connection that it may have.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

# Run as a script, not by pytest: the tests' folder is where our packages begin.
sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.serving import matrix, telling
from benchmarks.serving.clients.idle_connections import idle_connections
from benchmarks.serving.clients.load import LoadFailed
from benchmarks.serving.clients.wrk import run_wrk
from benchmarks.serving.content import site_in, warm, write_object
from benchmarks.serving.machine import machine, told
from benchmarks.serving.peers.roster import ROSTER, require
from benchmarks.serving.peers.running import Peer, Site

IDLE = 15_000
IDLE_QUICK = 2_000
NAME = "bench/v1/hot.mp4"
SIZE_BYTES = 64 * matrix.KIB
_HOT_CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class Line:
    """Rates are medians of requests/s."""

    server: str
    idle: int
    bytes_per_connection: float
    alone_per_s: float
    among_idle_per_s: float

    @property
    def kept(self) -> float:
        return self.among_idle_per_s / self.alone_per_s


def main() -> int:
    # Five runs of more would outlast what Sluice allows the idle where 20,000 descriptors are all there are.
    parser = telling.parser(__doc__, "--peers sluice,nginx --idle 5000", seconds=1)
    parser.set_defaults(peers=["sluice", "nginx"])
    parser.add_argument("--idle", type=int, default=IDLE, help=f"connections (default: {IDLE:,})")
    arguments = parser.parse_args()
    return telling.run(lambda: _measure(arguments))


def _measure(arguments: argparse.Namespace) -> None:
    require(arguments.peers, (("wrk", "wrk"),))
    rounds, seconds, idle = arguments.rounds, arguments.seconds, arguments.idle
    if arguments.quick:
        rounds, seconds, idle = 1, 1, IDLE_QUICK
    facts = machine(arguments.peers)
    sys.stdout.write(f"{idle:,} idle connections; {rounds} run(s) of {seconds} s; {told(facts)}\n")
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        site = site_in(Path(folder)).over("http")
        write_object(site, NAME, SIZE_BYTES, random.Random(1))
        lines = [_line(site, name, idle, rounds, seconds) for name in arguments.peers]
    sys.stdout.write(_table(lines))
    found = {"machine": facts, "rounds": rounds, "seconds": seconds, "quick": arguments.quick}
    telling.write_json(arguments.json, {**found, "lines": [asdict(line) for line in lines]})


def _line(site: Site, name: str, idle: int, rounds: int, seconds: int) -> Line:
    with ROSTER[name].start(site) as peer:
        warm(peer, site, [NAME])
        alone = _hot_per_s(peer, rounds, seconds)
        before = peer.memory_bytes()
        telling.progress(f"{name}: {idle:,} connections")
        with idle_connections(peer.port, NAME, idle) as there:
            grown = peer.memory_bytes() - before
            among_idle = _hot_per_s(peer, rounds, seconds)
            still_open = there.still_open()
        if still_open < idle:
            raise LoadFailed(f"{name} closed {idle - still_open} of {idle} connections meanwhile")
        # Before and after: a machine that grows slower or faster meanwhile favours neither.
        alone += _hot_per_s(peer, rounds, seconds)
    return Line(name, idle, grown / idle, median(alone), median(among_idle))


def _hot_per_s(peer: Peer, rounds: int, seconds: int) -> list[float]:
    telling.progress(f"{peer.name}: hot requests")
    runs = [run_wrk(f"{peer.url}/{NAME}", _HOT_CONNECTIONS, seconds) for _ in range(rounds)]
    return [run.requests_per_s for run in runs]


def _table(lines: Sequence[Line]) -> str:
    text = [f"{'server':13} {'bytes/idle':>11} {'alone req/s':>12} {'among idle':>11} {'kept':>6}"]
    text += [
        f"{line.server:13} {line.bytes_per_connection:11,.0f} {line.alone_per_s:12,.0f}"
        f" {line.among_idle_per_s:11,.0f} {line.kept:6.2f}"
        for line in lines
    ]
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    sys.exit(main())
