"""Each bound of a serving worker: what happens beyond it, and that it is counted.

The pool itself runs here, with bounds short enough to reach.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import pytest
from appliance.serving.serve_process import (
    DEADLINE_S,
    put_object,
    read_response,
    read_to_end,
)
from appliance.serving.test_tls import make_certificate

from sluice_appliance import metrics
from sluice_appliance.serving import tally
from sluice_appliance.serving.limits import Limits
from sluice_appliance.serving.openssl import TlsFiles
from sluice_appliance.serving.pool import ServingPool
from sluice_appliance.serving.popularity import Popularity
from sluice_appliance.serving.settings import ServingSettings
from sluice_appliance.serving.worker import within_descriptors
from sluice_appliance.store.disks import DiskPlace
from sluice_runtime.addresses import Address
from sluice_runtime.counters import SharedCounters, cells_of, index_of

BODY = b"0123456789" * 1_000_000


class Bounded:
    """A pool with one worker, spoken to from threads."""

    def __init__(self, pool: ServingPool, counters: SharedCounters) -> None:
        self.pool = pool
        self.counters = counters

    def connect(self, *, receive_buffer_bytes: int | None = None) -> socket.socket:
        client = socket.socket()
        if receive_buffer_bytes is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        client.settimeout(DEADLINE_S)
        client.connect((self.pool.address.host, self.pool.address.port))
        return client

    async def counts(self, cell: int, expected: int) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while self.counters.total(cell) != expected:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def bounded(
    root: Path,
    limits: Limits,
    files: TlsFiles | None = None,
    *,
    disks: tuple[DiskPlace, ...] = (),
) -> AsyncIterator[Bounded]:
    counters = metrics.serving_counters(1)
    certificate, key = (str(path) for path in files) if files else ("", "")
    settings = ServingSettings(
        store=str(root), disks=disks, limits=limits, tls_certificate=certificate, tls_key=key
    )
    pool = ServingPool(settings, Address("127.0.0.1", 0), 1, counters, Popularity(2))
    pool.bind()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(pool.run())
        async with asyncio.timeout(DEADLINE_S):
            await pool.until_accepting()
        assert pool.accepting()
        yield Bounded(pool, counters)
        running.cancel()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put_object(tmp_path / "store", "film/v1/a", BODY)
    return tmp_path / "store"


def test_a_head_that_trickles_is_ended_with_408(root: Path) -> None:
    async def story() -> None:
        async with bounded(root, Limits(head_s=0.6)) as served:
            with closing(served.connect()) as client:
                client.sendall(b"GET /film/v1/a HTTP/1.1\r\nX: ")
                trickling = asyncio.create_task(_trickle(client))
                status, fields, _ = await asyncio.to_thread(read_response, client)
                trickling.cancel()
                assert (status, fields["connection"]) == (408, "close")
            await served.counts(tally.TIMEOUT_HEAD, 1)

    asyncio.run(story())


def test_session_keys_are_renewed_when_their_time_is_over(root: Path, tmp_path: Path) -> None:
    files = make_certificate(tmp_path)
    context = ssl.create_default_context(cafile=str(files.certificate))

    def fetch(
        served: Bounded, session: ssl.SSLSession | None
    ) -> tuple[bool, ssl.SSLSession | None]:
        with closing(
            context.wrap_socket(served.connect(), server_hostname="localhost", session=session)
        ) as client:
            client.sendall(b"HEAD /film/v1/a HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
            return bool(client.session_reused), client.session

    async def story() -> None:
        async with bounded(root, Limits(ticket_keys_s=0.5), files) as served:
            _, session = await asyncio.to_thread(fetch, served, None)
            async with asyncio.timeout(DEADLINE_S):
                while (await asyncio.to_thread(fetch, served, session))[0]:
                    await asyncio.sleep(0.1)

    asyncio.run(story())


async def _trickle(client: socket.socket) -> None:
    while True:
        try:
            client.send(b"a")
        except OSError:
            return
        await asyncio.sleep(0.05)


def test_a_client_that_takes_nothing_is_ended(root: Path) -> None:
    async def story() -> None:
        async with bounded(root, Limits(write_s=0.6)) as served:
            with closing(served.connect(receive_buffer_bytes=4096)) as client:
                client.sendall(b"GET /film/v1/a HTTP/1.1\r\nHost: a\r\n\r\n")
                await served.counts(tally.TIMEOUT_WRITE, 1)
                await served.counts(tally.BROKEN_OFF, 1)
                assert len(await asyncio.to_thread(read_to_end, client)) < len(BODY)

    asyncio.run(story())


def test_a_client_that_asks_nothing_is_ended(root: Path) -> None:
    async def story() -> None:
        async with bounded(root, Limits(request_s=0.6)) as served:
            with closing(served.connect()) as client:
                assert await asyncio.to_thread(read_to_end, client) == b""
                await served.counts(tally.TIMEOUT_REQUEST, 1)

    asyncio.run(story())


def test_a_client_that_never_closes_after_a_refusal_is_ended(root: Path) -> None:
    async def story() -> None:
        async with bounded(root, Limits(close_s=0.6)) as served:
            with closing(served.connect()) as client:
                client.sendall(b"nonsense\r\n\r\n")
                await served.counts(tally.TIMEOUT_CLOSE, 1)

    asyncio.run(story())


def test_clients_beyond_the_bound_are_told_503_and_those_within_go_on(root: Path) -> None:
    async def story() -> None:
        async with bounded(root, Limits(connections=2)) as served:
            within = [served.connect(), served.connect()]
            await served.counts(tally.CONNECTIONS, 2)
            with closing(served.connect()) as beyond:
                answer = await asyncio.to_thread(read_to_end, beyond)
                assert answer.startswith(b"HTTP/1.1 503 ")
                assert b"\r\nRetry-After: 1\r\n" in answer
            await served.counts(tally.REFUSED_CONNECTIONS, 1)
            for client in within:
                client.sendall(b"HEAD /film/v1/a HTTP/1.1\r\nHost: a\r\n\r\n")
                assert (await asyncio.to_thread(read_response, client, head_only=True))[0] == 200
                client.close()
            await served.counts(tally.CONNECTIONS_CLOSED, 3)
            with closing(served.connect()) as client:
                client.sendall(b"HEAD /film/v1/a HTTP/1.1\r\nHost: a\r\n\r\n")
                assert (await asyncio.to_thread(read_response, client, head_only=True))[0] == 200

    asyncio.run(story())


def test_no_more_files_stay_open_than_the_bound(root: Path) -> None:
    async def story() -> None:
        for number in range(20):
            put_object(root, f"film/v1/{number}", b"x" * number)
        async with bounded(root, Limits(open_files=3)) as served:
            (pid,) = served.pool.worker_pids()
            with closing(served.connect()) as client:
                before = _descriptors(pid)
                for number in [*range(20), *range(20)]:
                    target = b"/film/v1/%d" % number
                    client.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
                    answer = await asyncio.to_thread(read_response, client)
                    assert answer[2] == b"x" * number
                # Each has a second one while it is mapped.
                assert _descriptors(pid) <= before + 1 + 2 * 3
                assert served.counters.total(tally.OPEN_FILES) == 40

    asyncio.run(story())


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_limits_fit_the_descriptors_that_the_system_allows() -> None:
    assert within_descriptors(Limits(), 1_000_000) == Limits()
    scarce = within_descriptors(Limits(), 1024)
    assert scarce.open_files == 128
    assert scarce.connections == 1024 - 64 - 256
    assert within_descriptors(Limits(), 10) == replace(Limits(), open_files=1, connections=1)


def test_a_limit_that_cannot_be_is_refused_with_its_name() -> None:
    with pytest.raises(ValueError, match="head_s is 0, expected more than 0"):
        Limits(head_s=0)
    with pytest.raises(ValueError, match="open_files is 0, expected 1 or more"):
        Limits(open_files=0)


def test_each_cell_is_the_counter_that_the_supervisor_shows_for_it() -> None:
    names = {
        "connections_total": tally.CONNECTIONS,
        "connections_closed_total": tally.CONNECTIONS_CLOSED,
        "requests_total": tally.REQUESTS,
        "body_bytes_total": tally.BODY_BYTES,
        "absent_objects_total": tally.ABSENT_OBJECTS,
        "broken_off_total": tally.BROKEN_OFF,
        "open_files_total": tally.OPEN_FILES,
        "tls_handshakes_total": tally.TLS_HANDSHAKES,
        "tls_failures_total": tally.TLS_FAILURES,
        "kernel_tls_total": tally.KERNEL_TLS,
        "accept_failures_total": tally.ACCEPT_FAILURES,
        "worker_restarts_total": tally.WORKER_RESTARTS,
    }
    for name, cell in names.items():
        assert index_of(metrics.SERVING, f"sluice_appliance_{name}") == cell
    for label, family, cells in (
        ("status", "responses", {"2xx": 3, "3xx": 4, "4xx": 5, "5xx": 6}),
        (
            "reason",
            "refused",
            {
                "malformed": tally.REFUSED_MALFORMED,
                "head_too_large": tally.REFUSED_HEAD_TOO_LARGE,
                "target_too_long": tally.REFUSED_TARGET_TOO_LONG,
                "body_too_large": tally.REFUSED_BODY_TOO_LARGE,
                "connections": tally.REFUSED_CONNECTIONS,
                "storage": tally.REFUSED_STORAGE,
            },
        ),
        (
            "waiting_for",
            "timeouts",
            {
                "request": tally.TIMEOUT_REQUEST,
                "head": tally.TIMEOUT_HEAD,
                "write": tally.TIMEOUT_WRITE,
                "handshake": tally.TIMEOUT_HANDSHAKE,
                "close": tally.TIMEOUT_CLOSE,
            },
        ),
    ):
        for value, cell in cells.items():
            full = f"sluice_appliance_{family}_total"
            assert index_of(metrics.SERVING, full, **{label: value}) == cell
    assert cells_of(metrics.SERVING) == tally.CELLS
