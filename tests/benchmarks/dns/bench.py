"""One `sluice-dns` worker under dnsperf, beside Knot over a static zone of the same names where it is
installed: same queries, same core, same client, turn about.

The server runs on core 0, dnsperf on core 1; each figure is the median of interleaved runs. Knot answers
the same addresses to everyone: it does not steer, so it is the price of steering that is compared.
`--quick` shows that it works, not how fast anything is. Run it on a machine that does nothing else:
`make bench-dns`.
"""

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from sluice_dns.testing.maps import BUCKETS, ZONE, MapOf
from sluice_dns.testing.server import free_port, serving

SERVER_CORE, CLIENT_CORE = 0, "1"
# Clients that dnsperf acts as, and queries that it has under way.
CLIENTS, OUTSTANDING = 8, 100
QUERIES = "queries.txt"
STRANGERS = "strangers.txt"
# EDNS option 8: IPv4, 24 bits of source, 10.1.2.0.
SUBNET_OPTION = "8:000118000a0102"
_PATH = os.environ["PATH"] + ":/usr/sbin"
_KNOT_START_S = 10.0


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    queries: str
    options: tuple[str, ...]


CASES = (
    Case("steered name, client subnet", QUERIES, ("-E", SUBNET_OPTION)),
    Case("steered name, no EDNS", QUERIES, ()),
    Case("names that do not exist", STRANGERS, ()),
)


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    port: int
    # The process that answers, whose CPU time is read.
    pid: int


@dataclass(frozen=True, slots=True)
class Run:
    queries_per_s: float
    cpu_us_per_query: float
    lost: int


@dataclass(frozen=True, slots=True)
class Line:
    """The medians of one server and one kind of query."""

    case: str
    server: str
    queries_per_s: float
    cpu_us_per_query: float
    lost: int
    runs: int


def main() -> int:
    arguments = _arguments()
    if shutil.which("dnsperf", path=_PATH) is None:
        sys.stderr.write("bench: dnsperf is missing; install it: apt-get install dnsperf\n")
        return 1
    rounds, seconds = (1, 1) if arguments.quick else (arguments.rounds, arguments.seconds)
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder, ExitStack() as peers:
        path = Path(folder)
        _write_queries(path)
        servers = [peers.enter_context(_sluice(path))]
        knot = shutil.which("knotd", path=_PATH)
        if knot is not None:
            servers.append(peers.enter_context(_knot(path, knot)))
        lines = _measure(path, servers, rounds, seconds)
    machine = _machine()
    sys.stdout.write(_table(lines, machine, rounds, seconds))
    if knot is None:
        sys.stdout.write("knotd is not installed, so no peer was measured (apt-get install knot)\n")
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        report = {"machine": machine, "rounds": rounds, "seconds": seconds}
        report["lines"] = [asdict(line) for line in lines]
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: bench.py --json bench-results/dns.json --rounds 3",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures are written")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved runs of each (5)")
    parser.add_argument("--seconds", type=int, default=5, help="length of each run (5)")
    parser.add_argument("--quick", action="store_true", help="one run of one second: does it work")
    return parser.parse_args()


def _measure(path: Path, servers: Sequence[Peer], rounds: int, seconds: int) -> list[Line]:
    runs: dict[tuple[Case, Peer], list[Run]] = {(c, s): [] for c in CASES for s in servers}
    for server in servers:
        # Fills what is filled on first use: our memo, the kernel's buffers.
        _run(path, CASES[0], server, 1)
    for _ in range(rounds):
        for case, server in runs:
            runs[case, server].append(_run(path, case, server, seconds))
    return [
        Line(
            case.name,
            server.name,
            statistics.median(run.queries_per_s for run in done),
            statistics.median(run.cpu_us_per_query for run in done),
            sum(run.lost for run in done),
            len(done),
        )
        for (case, server), done in runs.items()
    ]


def _run(path: Path, case: Case, server: Peer, seconds: int) -> Run:
    before = _cpu_s(server.pid)
    done = subprocess.run(
        [
            *("taskset", "-c", CLIENT_CORE, "dnsperf", "-s", "127.0.0.1", "-p", str(server.port)),
            *("-d", str(path / case.queries), "-l", str(seconds), "-c", str(CLIENTS)),
            *("-q", str(OUTSTANDING), *case.options),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    spent = _cpu_s(server.pid) - before
    completed = _number(r"Queries completed:\s+(\d+)", done.stdout)
    return Run(
        _number(r"Queries per second:\s+([\d.]+)", done.stdout),
        spent / completed * 1e6,
        int(_number(r"Queries lost:\s+(\d+)", done.stdout)),
    )


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"dnsperf did not say {pattern}:\n{text}")
    return float(found.group(1))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _write_queries(path: Path) -> None:
    names = [f"b{(n * 389) % BUCKETS:04}.{ZONE} A" for n in range(BUCKETS)]
    (path / QUERIES).write_text("\n".join(names) + "\n")
    strangers = [f"x{(n * 7919) % 100000:05}.{ZONE} A" for n in range(10_000)]
    (path / STRANGERS).write_text("\n".join(strangers) + "\n")


@contextmanager
def _sluice(path: Path) -> Iterator[Peer]:
    routes = {f"10.{n}.0.0/16": n % 3 for n in range(256)}
    map_path = path / "steering.map"
    map_path.write_bytes(MapOf(routes=routes).signed())
    with serving(map_path) as server:
        (pid,) = server.health()["worker_pids"]
        os.sched_setaffinity(pid, {SERVER_CORE})
        yield Peer("sluice-dns", server.port, pid)


@contextmanager
def _knot(path: Path, program: str) -> Iterator[Peer]:
    port, zone = free_port(), path / "zone"
    records = [
        f"b{n:04} 30 A 127.0.10.{1 + n % 2}\nb{n:04} 30 A 127.0.10.{2 - n % 2}"
        for n in range(BUCKETS)
    ]
    head = [f"$ORIGIN {ZONE}.", "@ 3600 SOA ns1 hostmaster 1 3600 600 1209600 5", "@ 3600 NS ns1"]
    zone.write_text("\n".join([*head, "ns1 3600 A 127.0.0.1", *records]) + "\n")
    (path / "knot.conf").write_text(
        f"server:\n  rundir: {path}\n  listen: 127.0.0.1@{port}\n  udp-workers: 1\n"
        f"  tcp-workers: 1\n  background-workers: 1\n"
        f"database:\n  storage: {path}\n"
        f"zone:\n  - domain: {ZONE}\n    file: {zone}\n"
    )
    log = (path / "knot.log").open("wb")
    with (
        log,
        subprocess.Popen(
            ["taskset", "-c", str(SERVER_CORE), program, "-c", str(path / "knot.conf")],
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            _wait_for_answer(port)
            yield Peer("Knot (static)", port, process.pid)
        finally:
            process.terminate()


def _wait_for_answer(port: int) -> None:
    ask = [
        "dig",
        "@127.0.0.1",
        "-p",
        str(port),
        "+short",
        "+tries=1",
        "+timeout=1",
        f"b0001.{ZONE}",
    ]
    end = time.monotonic() + _KNOT_START_S
    while not subprocess.run(ask, capture_output=True, text=True, check=False).stdout.startswith(
        "127"
    ):
        if time.monotonic() > end:
            raise TimeoutError(f"knotd did not answer within {_KNOT_START_S} s")
        time.sleep(0.1)


def _machine() -> str:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    cores, name = os.cpu_count(), model.group(1) if model else platform.machine()
    return f"{name}, {cores} cores, Linux {platform.release()}, Python {platform.python_version()}"


def _table(lines: Sequence[Line], machine: str, rounds: int, seconds: int) -> str:
    text = f"{machine}; medians of {rounds} interleaved runs of {seconds} s\n\n"
    text += "| queries | server | queries/s | CPU us/query | lost | of the peer |\n|---|---|---|---|---|---|\n"
    for line in lines:
        peers = [each for each in lines if each.case == line.case and each.server != line.server]
        ratio = f"{line.queries_per_s / peers[0].queries_per_s:.2f}" if peers else "-"
        text += f"| {line.case} | {line.server} | {line.queries_per_s:,.0f} "
        text += f"| {line.cpu_us_per_query:.1f} | {line.lost} | {ratio} |\n"
    return text


if __name__ == "__main__":
    sys.exit(main())
