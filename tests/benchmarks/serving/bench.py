"""One serving worker beside one nginx worker: same bytes, same core, same client, turn about.

Servers run on core 0, wrk on core 1; each figure is the median of interleaved runs. `--quick` shows that
it works, not how fast anything is. Run it on a machine that does nothing else: `make bench-serving`.
"""

import argparse
import hashlib
import json
import os
import platform
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

# Run as a script, not by pytest: the tests' folder is where our packages begin.
sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.serving.peers import Peer, certificate, nginx, sluice

from sluice_appliance.store.layout import (
    ObjectHeader,
    encode_header,
    object_path,
    parse_key,
)

KIB = 1024
SIZES = {"64 KiB": 64 * KIB, "256 KiB": 256 * KIB, "1 MiB": 1024 * KIB, "4 MiB": 4096 * KIB}
QUICK_SIZES = ("64 KiB", "1 MiB")
CONNECTIONS = 32
CLIENT_CORE = "1"


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of wrk saw, and what the server's worker spent."""

    requests_per_s: float
    mb_per_s: float
    cpu_us_per_request: float


@dataclass(frozen=True, slots=True)
class Line:
    """The medians of one server, scheme and object size."""

    scheme: str
    size: str
    server: str
    requests_per_s: float
    mb_per_s: float
    cpu_us_per_request: float
    runs: int


def main() -> int:
    arguments = _arguments()
    for tool in ("wrk", "nginx"):
        if shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin") is None:
            sys.stderr.write(f"bench: {tool} is missing; install it: apt-get install {tool}\n")
            return 1
    rounds, seconds = (1, 1) if arguments.quick else (arguments.rounds, arguments.seconds)
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        sizes = QUICK_SIZES if arguments.quick else tuple(SIZES)
        lines = _measure(Path(folder), sizes, rounds, seconds)
    machine = _machine()
    sys.stdout.write(_table(lines, machine, rounds, seconds))
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        report = {
            "machine": machine,
            "rounds": rounds,
            "seconds": seconds,
            "quick": arguments.quick,
        }
        report["lines"] = [asdict(line) for line in lines]
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


def _measure(folder: Path, sizes: Sequence[str], rounds: int, seconds: int) -> list[Line]:
    names = _write_objects(folder, sizes)
    files = certificate(folder)
    lines: list[Line] = []
    for scheme in ("http", "https"):
        tls = files if scheme == "https" else None
        with ExitStack() as running:
            peers = [running.enter_context(start(folder, tls)) for start in (sluice, nginx)]
            for size, name in names.items():
                lines += _interleaved(peers, scheme, size, name, rounds, seconds)
    return lines


def _interleaved(
    peers: Sequence[Peer], scheme: str, size: str, name: str, rounds: int, seconds: int
) -> Iterator[Line]:
    runs: dict[str, list[Run]] = {peer.name: [] for peer in peers}
    for number in range(rounds):
        # Who goes first changes, so that neither always finds a warm machine.
        for peer in peers if number % 2 == 0 else tuple(reversed(peers)):
            runs[peer.name].append(_run(peer, name, seconds))
            _progress(f"{scheme} {size} {peer.name} {number + 1}/{rounds}")
    for server, of_server in runs.items():
        yield Line(
            scheme,
            size,
            server,
            statistics.median(run.requests_per_s for run in of_server),
            statistics.median(run.mb_per_s for run in of_server),
            statistics.median(run.cpu_us_per_request for run in of_server),
            rounds,
        )


def _run(peer: Peer, name: str, seconds: int) -> Run:
    argv = ["taskset", "-c", CLIENT_CORE, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}"]
    before_s = peer.cpu_s()
    done = subprocess.run([*argv, f"{peer.url}/{name}"], capture_output=True, text=True, check=True)
    spent_s = peer.cpu_s() - before_s
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(f"{peer.name} failed requests:\n{done.stdout}")
    found = re.search(r"(\d+) requests in ([\d.]+)(m?s|m),", done.stdout)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if found is None or rate is None or int(found[1]) == 0:
        raise RuntimeError(f"wrk said of {peer.name}:\n{done.stdout}")
    requests_per_s = float(rate[1])
    size_bytes = peer.size_bytes(name)
    return Run(requests_per_s, requests_per_s * size_bytes / 1e6, spent_s * 1e6 / int(found[1]))


def _write_objects(folder: Path, sizes: Sequence[str]) -> dict[str, str]:
    """Each size once as nginx and once as our store want it, read once so that it is in memory."""
    rng = random.Random(1)
    names: dict[str, str] = {}
    for size in sizes:
        size_bytes = SIZES[size]
        name = f"bench/v1/{size_bytes}.mp4"
        body = rng.randbytes(size_bytes)
        plain = folder / "files" / name
        plain.parent.mkdir(parents=True, exist_ok=True)
        plain.write_bytes(body)
        kept = Path(object_path(str(folder / "store"), parse_key(name)))
        kept.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(body).digest()
        kept.write_bytes(
            encode_header(ObjectHeader(parse_key(name), size_bytes, digest, "video/mp4")) + body
        )
        names[size] = name
    return names


def _machine() -> dict[str, str]:
    cpu = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    version = subprocess.run(
        ["nginx", "-v"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"},
    )
    return {
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "nginx": version.stderr.strip().rpartition("/")[2],
    }


def _table(lines: Sequence[Line], machine: dict[str, str], rounds: int, seconds: int) -> str:
    title = ", ".join(f"{key} {value}" for key, value in machine.items())
    heading = (
        f"{'':6}{'object':>8} {'sluice req/s':>13} {'MB/s':>7} {'us CPU':>7}"
        f" {'nginx req/s':>12} {'MB/s':>7} {'us CPU':>7} {'ratio':>6}"
    )
    text = [
        f"{title}; {CONNECTIONS} connections, medians of {rounds} run(s) of {seconds} s",
        heading,
    ]
    by = {(line.scheme, line.size, line.server): line for line in lines}
    for scheme, size in dict.fromkeys((line.scheme, line.size) for line in lines):
        ours, theirs = by[scheme, size, "sluice"], by[scheme, size, "nginx"]
        text.append(
            f"{scheme:6}{size:>8} {ours.requests_per_s:13,.0f} {ours.mb_per_s:7,.0f}"
            f" {ours.cpu_us_per_request:7,.1f} {theirs.requests_per_s:12,.0f}"
            f" {theirs.mb_per_s:7,.0f} {theirs.cpu_us_per_request:7,.1f}"
            f" {ours.requests_per_s / theirs.requests_per_s:6.2f}"
        )
    return "\n".join(text) + "\n"


def _progress(what: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{what}")
        sys.stderr.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: bench.py --json bench-results/serving.json",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--quick", action="store_true", help="one run of 1 s each, two sizes")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each (default: 5)")
    parser.add_argument("--seconds", type=int, default=4, help="length of a run (default: 4)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
