"""Workers that are replaced, killed and drained, as clients see it: real processes, real sockets."""

import asyncio
import json
import os
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from appliance.serving.serve_process import (
    Served,
    eventually,
    put_object,
    read_response,
    read_to_end,
    serve,
)
from appliance.serving.steady_clients import SteadyClients, steady_clients
from appliance.serving.test_limits import bounded
from appliance.serving.test_tls import make_certificate

from sluice_appliance.serving.errors import WorkerNotReplaced
from sluice_appliance.serving.limits import Limits
from sluice_appliance.serving.openssl import TlsFiles

Connect = Callable[[], socket.socket]

BODY = bytes(range(256)) * 16
BIG = os.urandom(1 << 20) * 24
REPLACED = "sluice_appliance_worker_replacements_total"
NOT_REPLACED = "sluice_appliance_worker_replacements_failed_total"
RESTARTS = "sluice_appliance_worker_restarts_total"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("replacement") / "store"
    put_object(root, "film/v1/a", BODY)
    put_object(root, "film/v1/big", BIG)
    return root


def ask(client: socket.socket, target: str) -> None:
    client.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())


def replace_workers(served: Served, *, workers: int) -> None:
    """Returns when all of them are new."""
    expected = served.counters()[REPLACED] + workers
    served.process.send_signal(signal.SIGHUP)
    eventually(lambda: served.counters()[REPLACED] == expected, "all workers replaced")


def health(served: Served) -> tuple[int, dict[str, object]]:
    with closing(socket.create_connection(("127.0.0.1", served.admin_port))) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        status, _, body = read_response(client)
        return status, json.loads(body)


def replace_under_load(
    served: Served, connect: Connect, *, requests: int, times: int = 5
) -> SteadyClients:
    """What 8 clients got while both workers were replaced so many times, evenly over the requests."""
    with steady_clients(connect, "/film/v1/a", BODY, clients=8) as seen:
        for nth in range(1, times + 1):
            share = requests * nth // (times + 1)
            eventually(lambda share=share: seen.answered >= share, "requests answered")  # type: ignore[misc]
            replace_workers(served, workers=2)
        eventually(lambda: seen.answered >= requests, "requests answered")
    return seen


@contextmanager
def serve_securely(
    store: Path, files: TlsFiles, *, workers: int
) -> Iterator[tuple[Served, Connect]]:
    """A server and how its clients connect: each with a handshake of its own."""
    context = ssl.create_default_context(cafile=str(files.certificate))
    options = ("--tls-cert", str(files.certificate), "--tls-key", str(files.key))
    with serve(store, *options, workers=workers) as served:
        yield served, lambda: context.wrap_socket(served.connect(), server_hostname="localhost")


def test_no_request_fails_while_workers_are_replaced(store: Path) -> None:
    with serve(store, workers=2) as served:
        before = served.workers()
        seen = replace_under_load(served, served.connect, requests=5_000)
        assert seen.failures == []
        # They were moved from worker to worker, and no more often than there were workers to leave.
        assert sum(seen.connections) > 8
        eventually(lambda: len(served.workers()) == 2, "the workers from before ended")
        assert not set(before) & set(served.workers())
        eventually(
            lambda: served.counters()["sluice_appliance_requests_total"] == seen.answered,
            "every request is counted",
        )
        counters = served.counters()
        assert counters['sluice_appliance_responses_total{status="2xx"}'] == seen.answered
        assert (counters[RESTARTS], counters[NOT_REPLACED]) == (0, 0)


def test_no_request_over_tls_fails_while_workers_are_replaced(store: Path, tmp_path: Path) -> None:
    with serve_securely(store, make_certificate(tmp_path), workers=2) as (served, connect):
        seen = replace_under_load(served, connect, requests=5_000)
        assert seen.failures == []
        assert sum(seen.connections) > 8
        # One that a client made last of all may be counted after it has gone.
        eventually(
            lambda: (
                served.counters()["sluice_appliance_tls_handshakes_total"] == sum(seen.connections)
            ),
            "every handshake is counted",
        )
        assert served.counters()["sluice_appliance_tls_failures_total"] == 0


@pytest.mark.lab
@pytest.mark.timeout(600)
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_no_request_of_100_000_fails_while_workers_are_replaced_5_times(
    store: Path, tmp_path: Path, *, secure: bool
) -> None:
    with ExitStack() as stack:
        if secure:
            running = serve_securely(store, make_certificate(tmp_path), workers=2)
            served, connect = stack.enter_context(running)
        else:
            served = stack.enter_context(serve(store, workers=2))
            connect = served.connect
        began = time.monotonic()
        seen = replace_under_load(served, connect, requests=100_000)
        print(
            f"\n{seen.answered} requests in {time.monotonic() - began:.1f} s,"
            f" {sum(seen.connections)} connections, {len(seen.failures)} failures"
        )
        assert seen.failures == []
        eventually(
            lambda: served.counters()["sluice_appliance_requests_total"] == seen.answered,
            "every request is counted",
        )


def test_a_silent_connection_of_a_worker_that_was_replaced_has_its_next_request_answered(
    store: Path,
) -> None:
    with serve(store) as served, closing(served.connect()) as client:
        (before,) = served.workers()
        ask(client, "/film/v1/a")
        assert read_response(client)[2] == BODY
        replace_workers(served, workers=1)
        # Longer than the moment that a worker has which is told to stop.
        time.sleep(1.5)
        assert before in served.workers()
        ask(client, "/film/v1/a")
        _, fields, body = read_response(client)
        assert (body, fields["connection"]) == (BODY, "close")
        assert read_to_end(client) == b""
        eventually(lambda: before not in served.workers(), "the worker from before ended")


def test_a_response_that_was_begun_before_its_worker_was_replaced_arrives_whole(
    store: Path,
) -> None:
    with serve(store) as served, closing(served.connect(receive_buffer_bytes=65536)) as client:
        ask(client, "/film/v1/big")
        begun = client.recv(1000)
        replace_workers(served, workers=1)
        head, _, first = begun.partition(b"\r\n\r\n")
        assert b"200 OK" in head
        rest = BIG[len(first) :]
        received = bytearray()
        while len(received) < len(rest):
            piece = client.recv(1 << 20)
            assert piece, f"the connection ended after {len(first) + len(received)} bytes"
            received += piece
        assert received == rest


def test_being_told_to_stop_ends_it_though_a_worker_from_before_still_drains(store: Path) -> None:
    with serve(store) as served, closing(served.connect()) as silent:
        ask(silent, "/film/v1/a")
        read_response(silent)
        replace_workers(served, workers=1)
        began = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(30) == 0
        # `retire_idle_s` would be 15.
        assert time.monotonic() - began < 10


def test_a_new_certificate_is_shown_by_new_workers_and_a_broken_one_replaces_nobody(
    store: Path, tmp_path: Path
) -> None:
    files = make_certificate(tmp_path)
    options = ("--tls-cert", str(files.certificate), "--tls-key", str(files.key))
    with serve(store, *options) as served:
        before, shown = served.workers(), certificate_of(served)
        files.certificate.write_text("nonsense")
        served.process.send_signal(signal.SIGHUP)
        eventually(lambda: served.counters()[NOT_REPLACED] == 1, "the refusal counted")
        assert "serving_workers_not_replaced" in served.stderr.read_text()
        assert (served.workers(), certificate_of(served)) == (before, shown)
        make_certificate(tmp_path)
        replace_workers(served, workers=1)
        # The old one accepts until it is told to go, a moment after the new one has begun.
        eventually(lambda: certificate_of(served) != shown, "the new certificate shown")


def certificate_of(served: Served) -> str:
    return ssl.get_server_certificate(("127.0.0.1", served.port))


def test_a_new_worker_that_cannot_start_replaces_nobody(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with bounded(store, Limits()) as served:
            before = served.pool.worker_pids()
            # Python finds no library of its own there and ends.
            monkeypatch.setenv("PYTHONHOME", "/nowhere")
            with pytest.raises(WorkerNotReplaced, match=r"serving-0\.1 ended with 1"):
                await served.pool.replace()
            assert served.pool.worker_pids() == before
            assert served.pool.accepting()
            assert served.pool.restarts == 0
            monkeypatch.delenv("PYTHONHOME")
            await served.pool.replace()
            assert set(served.pool.worker_pids()).isdisjoint(before)

    asyncio.run(story())


def test_of_two_workers_only_the_connections_of_the_killed_one_break(store: Path) -> None:
    with serve(store, workers=2) as served:
        clients = [served.connect() for _ in range(40)]
        for client in clients:
            ask(client, "/film/v1/a")
            assert read_response(client)[2] == BODY
        victim, other = served.workers()
        of_the_victim = connections_of(victim, served.port)
        assert connections_of(other, served.port) == 40 - of_the_victim
        killed_at = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        eventually(
            lambda: len(set(served.workers()) - {victim}) == 2, "another worker in its place"
        )
        broken = sum(not is_answered(client) for client in clients)
        assert broken == of_the_victim
        # Enough of them that some knock at the new worker; they wait for it and are not refused.
        for _ in range(20):
            with closing(served.connect()) as client:
                assert is_answered(client)
        assert time.monotonic() - killed_at < 2.0
        assert served.counters()[RESTARTS] == 1
        for client in clients:
            client.close()


def is_answered(client: socket.socket) -> bool:
    try:
        ask(client, "/film/v1/a")
        return read_response(client)[2] == BODY
    except (OSError, AssertionError):
        return False


def connections_of(pid: int, port: int) -> int:
    """How many established connections to `port` a process holds."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(descriptor.readlink().name)
        except FileNotFoundError:
            continue
    held = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        local_port, established = int(fields[1].rpartition(":")[2], 16), fields[3] == "01"
        held += established and local_port == port and f"socket:[{fields[9]}]" in inodes
    return held


def test_a_drained_box_says_so_and_serves_on_until_it_is_undrained(store: Path) -> None:
    with serve(store) as served, closing(served.connect()) as client:
        assert health(served)[0] == 200
        served.process.send_signal(signal.SIGUSR1)
        eventually(lambda: health(served)[0] == 503, "health says that it drains")
        assert health(served)[1]["draining"] is True
        assert health(served)[1]["serving"] is True
        ask(client, "/film/v1/a")
        _, fields, body = read_response(client)
        assert (body, "connection" in fields) == (BODY, False)
        with closing(served.connect()) as another:
            assert is_answered(another)
        served.process.send_signal(signal.SIGUSR2)
        eventually(lambda: health(served)[0] == 200, "health says that it takes clients")
