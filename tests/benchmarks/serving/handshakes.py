"""TLS 1.3 handshakes, full and resumed, of one worker of each server; and whether a session that one
worker of ours began is resumed by another.

A client's half of a handshake costs as much as a server's or more, and one core of clients does not
keep a server busy: the figure to compare is the CPU that the server spends, and the handshakes/s that
one core would do of it. Each connection also brings an object of 4 KiB, for a ticket comes with data.
"""

import argparse
import random
import socket
import ssl
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

# Run as a script, not by pytest: the tests' folder is where our packages begin.
sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.serving import matrix, telling
from benchmarks.serving.clients.openssl_client import PROCESSES_MAX, Handshakes, run_openssl
from benchmarks.serving.content import site_in, warm, write_object
from benchmarks.serving.machine import machine, told
from benchmarks.serving.peers.roster import ROSTER, require
from benchmarks.serving.peers.running import Peer, Site

NAME = "bench/v1/small.mp4"
SIZE_BYTES = 4 * matrix.KIB
_WORKERS = 2
_RECONNECTS = 40


class Run(NamedTuple):
    seen_per_s: float
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Line:
    """Medians. `core_per_s` is what a core that does nothing else would do: 1 s over `cpu_us`."""

    handshakes: str
    server: str
    seen_per_s: float
    cpu_us: float
    core_per_s: float
    to_nginx: float | None


def main() -> int:
    arguments = telling.parser(__doc__, "--peers sluice,nginx --rounds 3", seconds=3).parse_args()
    return telling.run(lambda: _measure(arguments))


def _measure(arguments: argparse.Namespace) -> None:
    peers = [name for name in arguments.peers if not ROSTER[name].no_tls]
    require(peers, (("openssl", "openssl"),))
    rounds, seconds = (1, 1) if arguments.quick else (arguments.rounds, arguments.seconds)
    facts = machine(peers)
    sys.stdout.write(f"TLS 1.3, P-256; medians of {rounds} run(s) of {seconds} s; {told(facts)}\n")
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        site = site_in(Path(folder))
        write_object(site, NAME, SIZE_BYTES, random.Random(1))
        lines = _beside_each_other(site, peers, rounds, seconds)
        resumed = _resumed_by_any_worker(site)
    sys.stdout.write(_table(lines))
    sys.stdout.write(
        f"\nof {_RECONNECTS} reconnects to {_WORKERS} workers of Sluice {resumed} resumed\n"
    )
    found = {"machine": facts, "rounds": rounds, "seconds": seconds, "quick": arguments.quick}
    across = {"workers": _WORKERS, "reconnects": _RECONNECTS, "resumed": resumed}
    rows = [asdict(line) for line in lines]
    telling.write_json(arguments.json, {**found, "lines": rows, "across_workers": across})


def _beside_each_other(site: Site, names: Sequence[str], rounds: int, seconds: int) -> list[Line]:
    with ExitStack() as stack:
        peers: dict[str, Peer] = {}
        for name in names:
            peers[name] = stack.enter_context(ROSTER[name].start(site))
            warm(peers[name], site, [NAME])
            peers[name].set_aside()
        lines: list[Line] = []
        for handshakes in Handshakes:
            runs: dict[str, list[Run]] = {name: [] for name in names}
            for number in range(rounds):
                for name in matrix.turns(names, number):
                    telling.progress(f"{handshakes.name.lower()} {name} {number + 1}/{rounds}")
                    runs[name].append(_run(peers[name], handshakes, seconds))
            lines += _lines(handshakes, runs)
        return lines


def _run(peer: Peer, handshakes: Handshakes, seconds: int) -> Run:
    peer.bring_back()
    spent = peer.cpu()
    load = run_openssl(peer.port, NAME, SIZE_BYTES, handshakes, PROCESSES_MAX, seconds)
    cpu_s = peer.cpu().since(spent).total_s
    peer.set_aside()
    return Run(load.requests_per_s, cpu_s * 1e6 / load.requests)


def _lines(handshakes: Handshakes, runs: Mapping[str, Sequence[Run]]) -> list[Line]:
    cpu_us = {name: median(run.cpu_us for run in of_peer) for name, of_peer in runs.items()}
    nginx_us = cpu_us.get("nginx")
    return [
        Line(
            handshakes.name.lower(),
            name,
            median(run.seen_per_s for run in runs[name]),
            spent_us,
            1e6 / spent_us,
            nginx_us / spent_us if nginx_us else None,
        )
        for name, spent_us in cpu_us.items()
    ]


def _resumed_by_any_worker(site: Site) -> int:
    """How many of the reconnects were resumed. The kernel chooses the worker of each connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with ROSTER["sluice"].start(site._replace(workers=_WORKERS)) as peer:
        session, _ = _fetch(peer, context, None)
        # A ticket is used once (RFC 8446, C.4): each connection brings the next one's.
        resumed = 0
        for _ in range(_RECONNECTS):
            session, reused = _fetch(peer, context, session)
            resumed += reused
    return resumed


def _fetch(
    peer: Peer, context: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[ssl.SSLSession | None, bool]:
    with (
        socket.create_connection(("127.0.0.1", peer.port), timeout=10) as plain,
        context.wrap_socket(plain, session=session) as secure,
    ):
        ask = f"GET /{NAME} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        secure.sendall(ask.encode())
        while secure.recv(65536):
            pass
        return secure.session, bool(secure.session_reused)


def _table(lines: Sequence[Line]) -> str:
    text = [
        f"{'':9}{'server':13} {'seen/s':>8} {'us CPU':>8} {'per s of a core':>16} {'x nginx':>8}"
    ]
    for line in lines:
        ratio = "-" if line.to_nginx is None else f"{line.to_nginx:.2f}"
        text.append(
            f"{line.handshakes:9}{line.server:13} {line.seen_per_s:8,.0f} {line.cpu_us:8,.0f}"
            f" {line.core_per_s:16,.0f} {ratio:>8}"
        )
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    sys.exit(main())
