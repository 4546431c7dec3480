"""Real processes on loopback: workers that die, maps that change, wrong files, taken ports."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import dns.edns
import dns.message
import dns.query
import pytest

from sluice_dns import metrics
from sluice_dns.map_file import MapFile
from sluice_dns.metrics import SPECS
from sluice_dns.steering_map import MapView
from sluice_dns.testing.maps import MapOf
from sluice_dns.testing.server import Server, announced, free_port, serving, started, wait_until
from sluice_dns.udp import Worker
from sluice_runtime.counters import SharedCounters
from sluice_runtime.files import write_atomically

NAME = "b0000.v.sluice.test"


@pytest.fixture
def map_path(tmp_path: Path) -> Path:
    path = tmp_path / "steering.map"
    path.write_bytes(MapOf().signed())
    return path


def addresses(server: Server, name: str = NAME, subnet: str = "10.1.2.0") -> list[str]:
    query = dns.message.make_query(name, "A", options=[dns.edns.ECSOption(subnet, 24)])
    reply = dns.message.from_wire(server.ask(query.to_wire()))
    return [record.to_text() for rrset in reply.answer for record in rrset]


def test_dig_agrees_over_udp_and_tcp(map_path: Path) -> None:
    with serving(map_path) as server:
        for transport in ("+notcp", "+tcp"):
            done = subprocess.run(
                [
                    "dig",
                    "@127.0.0.1",
                    "-p",
                    str(server.port),
                    transport,
                    "+subnet=10.2.0.0/16",
                    NAME,
                ],
                capture_output=True,
                text=True,
                check=True,
            )
            said = [line.split() for line in done.stdout.splitlines() if line.startswith("b0000")]
            assert [line[-1] for line in said] == ["127.0.20.1", "127.0.20.2"]
            assert "CLIENT-SUBNET: 10.2.0.0/16/16" in done.stdout
            assert "WARNING" not in done.stdout.replace("WARNING: recursion requested", "")
        counters = server.counters()
    assert counters['queries_total{transport="udp"}'] == 1
    assert counters['queries_total{transport="tcp"}'] == 1
    assert counters["client_subnet_total"] == 2


def test_a_killed_worker_is_replaced_and_the_query_sent_meanwhile_waits_for_the_next(
    map_path: Path,
) -> None:
    with serving(map_path) as server:
        for _ in range(3):
            (pid,) = server.health()["worker_pids"]
            os.kill(pid, signal.SIGKILL)
            wait_until(partial(_has_ended, pid), f"the end of worker {pid}")
            # Sent while nobody reads: it waits in the socket for the next worker.
            assert addresses(server) == ["127.0.10.1", "127.0.10.2"]
        assert server.counters()["worker_starts_total"] == 4
        wait_until(lambda: bool(server.health()["healthy"]), "a healthy server")


def test_a_start_is_counted_before_the_map_says_that_the_worker_is_ready(
    map_path: Path,
) -> None:
    counters = SharedCounters(SPECS, rows=1)
    row = counters.row(0)

    class EnoughError(Exception):
        pass

    class FirstLook(MapFile):
        def newer(self, now: float) -> MapView | None:
            assert row[metrics.WORKER_STARTS] == 1
            raise EnoughError

    maps = FirstLook(map_path, row=row, verifier=None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        worker = Worker(listener, maps, server_id="pop-1", row=row, clock=time.monotonic)
        with pytest.raises(EnoughError):
            worker.run()


def test_workers_die_with_a_killed_supervisor(map_path: Path) -> None:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "sluice_dns.main", "serve", "--map", str(map_path)),
            *("--listen", "127.0.0.1:0", "--admin", f"127.0.0.1:{(admin := free_port())}"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with process:
        server = Server(process, *announced(process), admin)
        (pid,) = server.health()["worker_pids"]
        process.kill()
    wait_until(partial(_has_ended, pid), f"the end of worker {pid}")


def _has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_replaced_map_is_taken_under_load_without_one_wrong_answer(map_path: Path) -> None:
    """Every answer is the old map's or the new map's, whole; after the change only the new one's."""
    maps = {frozenset({f"127.0.{10 + n}.1", f"127.0.{10 + n}.2"}): n for n in range(6)}

    def version(n: int) -> bytes:
        site = ("site-a", (f"127.0.{10 + n}.1", f"127.0.{10 + n}.2"), ())
        return MapOf(revision=n + 1, sites=(site,), classes=((0,), (0,), (0,))).signed()

    map_path.write_bytes(version(0))
    seen: list[int | None] = []
    stop = threading.Event()
    with serving(map_path, "--workers", "2") as server:

        def ask() -> None:
            while not stop.is_set():
                seen.append(maps.get(frozenset(addresses(server))))

        clients = [threading.Thread(target=ask) for _ in range(3)]
        for client in clients:
            client.start()
        for n in range(1, 6):
            write_atomically(map_path, version(n))
            # One load for each worker, and the supervisor's own for TCP.
            wait_for_loads(server, 3 * (n + 1))
        stop.set()
        for client in clients:
            client.join()
        assert None not in seen
        assert set(seen) >= {0, 5}
        assert [maps.get(frozenset(addresses(server))) for _ in range(20)] == [5] * 20
        assert server.health()["map_revision"] == 6


def wait_for_loads(server: Server, count: int) -> None:
    loads = 'map_loads_total{outcome="loaded"}'
    wait_until(lambda: server.counters()[loads] >= count, f"load {count} of a map")


@pytest.mark.parametrize(
    "wrong", [b"", b"\xff" * 90, MapOf().signed()[:-40], MapOf(zone="V.x").signed()]
)
def test_a_wrong_map_file_is_refused_and_the_old_answers_stay(map_path: Path, wrong: bytes) -> None:
    with serving(map_path) as server:
        write_atomically(map_path, wrong)
        wait_until(
            lambda: server.counters()['map_loads_total{outcome="refused"}'] == 2,
            "the refusal by the worker and the supervisor",
        )
        assert addresses(server) == ["127.0.10.1", "127.0.10.2"]
        assert server.health()["map_refusal"]
        os.unlink(map_path)
        assert addresses(server) == ["127.0.10.1", "127.0.10.2"]
        write_atomically(map_path, MapOf(revision=9).signed())
        wait_until(lambda: server.health()["map_revision"] == 9, "the next good map")


def test_garbage_leaves_the_worker_alive(map_path: Path) -> None:
    with serving(map_path) as server:
        (pid,) = server.health()["worker_pids"]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for size in (0, 1, 11, 12, 13, 40, 512, 4096, 9000):
                client.sendto(os.urandom(size), (server.host, server.port))
            client.sendto(
                b"\0\0\0\0\0\1" + b"\0" * 5 + b"\1" + b"\xc0\x0c" * 700, (server.host, server.port)
            )
        assert addresses(server) == ["127.0.10.1", "127.0.10.2"]
        assert server.health()["worker_pids"] == [pid]
        assert server.counters()["faults_total"] == 0


def test_tcp_answers_pipelined_queries_in_order(map_path: Path) -> None:
    queries = [dns.message.make_query(f"b{n:04}.v.sluice.test", "A", id=n + 1) for n in range(50)]
    with (
        serving(map_path) as server,
        socket.create_connection((server.host, server.port)) as client,
    ):
        client.settimeout(10.0)
        client.sendall(b"".join(_framed(query.to_wire()) for query in queries))
        with client.makefile("rb") as replies:
            for query in queries:
                reply = dns.message.from_wire(replies.read(int.from_bytes(replies.read(2))))
                assert query.is_response(reply)
                assert reply.answer


def _framed(message: bytes) -> bytes:
    return len(message).to_bytes(2) + message


def test_one_address_cannot_take_all_tcp_connections(map_path: Path) -> None:
    with serving(map_path) as server:
        clients = [socket.create_connection((server.host, server.port)) for _ in range(40)]
        try:
            refused = 'connections_total{outcome="refused_address"}'
            wait_until(lambda: server.counters()[refused] == 8, "8 refusals")
            assert server.counters()['connections_total{outcome="accepted"}'] == 32
        finally:
            for client in clients:
                client.close()
        query = dns.message.make_query(NAME, "A")

        def is_served() -> bool:
            try:
                return bool(dns.query.tcp(query, server.host, 5.0, server.port).answer)
            except (OSError, EOFError):
                return False

        wait_until(is_served, "a connection after the others left")


def test_ipv6_is_answered_too(map_path: Path) -> None:
    with started(["serve", "--map", str(map_path), "--listen", "[::1]:0"]) as process:
        host, port = announced(process)
        assert host == "[::1]"
        query = dns.message.make_query(NAME, "A")
        assert dns.query.udp(query, "::1", 5.0, port).answer
        assert dns.query.tcp(query, "::1", 5.0, port).answer


def _run(*argv: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "sluice_dns.main", *argv],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_taken_port_is_named_with_the_option_that_changes_it(map_path: Path) -> None:
    with serving(map_path) as server:
        taken = f"127.0.0.1:{server.port}"
        for option, argv in (
            ("--listen", ("--listen", taken)),
            ("--admin", ("--listen", "127.0.0.1:0", "--admin", f"127.0.0.1:{server.admin_port}")),
        ):
            done = _run("serve", "--map", str(map_path), *argv)
            assert done.returncode == 2
            (line,) = [each for each in done.stderr.splitlines() if each.startswith("sluice-dns:")]
            assert argv[-1] in line
            assert option in line
            assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--listen", "localhost:53"], "'localhost:53', expected HOST:PORT"),
        (["--listen", "::1:53"], "expected HOST:PORT or [V6]:PORT"),
        (["--listen", "127.0.0.1:70000"], "expected 0..65535"),
        (["--listen", "203.0.113.1:53"], "cannot listen on 203.0.113.1:53"),
        (["--listen", "127.0.0.1:0", "--workers", "0"], "--workers is 0, expected 1..256"),
        (["--listen", "127.0.0.1:0", "--trust", "/nowhere.pem"], "/nowhere.pem: No such file"),
        (["--listen", "127.0.0.1:0", "--map", "/nowhere.map"], "/nowhere.map: no such file"),
        (["--listen", "127.0.0.1:0", "--map", "/dev/null"], "/dev/null: "),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(
    map_path: Path, argv: list[str], said: str
) -> None:
    done = _run("serve", "--map", str(map_path), *argv)
    assert done.returncode == 2
    (line,) = [each for each in done.stderr.splitlines() if not each.startswith("{")]
    assert said in line
    assert done.stdout == ""
