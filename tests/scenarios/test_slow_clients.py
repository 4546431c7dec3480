"""Clients that are slow on purpose, or by nature, beside one that is not, on one worker."""

import asyncio
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from statistics import median

import pytest
from appliance.serving.serve_process import (
    DEADLINE_S,
    Served,
    eventually,
    put_object,
    read_response,
    read_to_end,
    serve,
)
from appliance.serving.test_limits import Bounded, bounded

from sluice_appliance.serving import tally
from sluice_appliance.serving.limits import Limits

PIECE = bytes(range(256)) * 4096
FILM_BYTES = 64 << 20
SLOW_CLIENTS = 200
HALF_OPEN_HEADS = 500
# Each slow client takes so much so often: 5 KB/s.
SIP_BYTES, SIP_S = 1024, 0.2


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("slow") / "store"
    put_object(root, "film/v1/piece", PIECE)
    put_object(root, "film/v1/film", bytes(FILM_BYTES))
    return root


def bytes_per_s(client: socket.socket, *, seconds: float) -> float:
    """What a client gets that asks for one piece after the other."""
    began, received = time.monotonic(), 0
    while time.monotonic() < began + seconds:
        client.sendall(b"GET /film/v1/piece HTTP/1.1\r\nHost: a\r\n\r\n")
        status, _, body = read_response(client)
        assert (status, len(body)) == (200, len(PIECE))
        received += len(body)
    return received / (time.monotonic() - began)


@contextmanager
def slow_readers(served: Served, count: int) -> Iterator[list[int]]:
    """Clients that take a film in sips until the block ends; yields what each has got."""
    received = [0] * count
    stop = threading.Event()
    with ExitStack() as open_clients, selectors.DefaultSelector() as selector:
        for number in range(count):
            client = served.connect(receive_buffer_bytes=4096)
            open_clients.enter_context(closing(client))
            client.sendall(b"GET /film/v1/film HTTP/1.1\r\nHost: a\r\n\r\n")
            selector.register(client, selectors.EVENT_READ, number)

        def sip() -> None:
            while not stop.wait(SIP_S):
                for key, _ in selector.select(0):
                    assert isinstance(key.fileobj, socket.socket)
                    received[key.data] += len(key.fileobj.recv(SIP_BYTES))

        sipping = threading.Thread(target=sip)
        sipping.start()
        try:
            yield received
        finally:
            stop.set()
            sipping.join()


def test_a_fast_client_beside_200_slow_ones_keeps_half_of_what_it_has_alone(store: Path) -> None:
    alone, beside = [], []
    with serve(store) as served, closing(served.connect()) as fast:
        bytes_per_s(fast, seconds=0.3)
        # In turns, so that whatever else the machine does falls on both.
        for _ in range(3):
            alone.append(bytes_per_s(fast, seconds=0.5))
            with slow_readers(served, SLOW_CLIENTS) as received:
                bytes_per_s(fast, seconds=0.5)
                beside.append(bytes_per_s(fast, seconds=0.5))
                assert all(received), "each slow client is served as well"
    share = median(beside) / median(alone)
    print(f"\nalone {median(alone) / 1e6:.0f} MB/s, beside slow clients {share:.2f} of it")
    assert share >= 0.5


def test_500_half_open_heads_hinder_nobody_and_end_in_their_time(store: Path) -> None:
    async def story() -> None:
        limits = Limits(head_s=2.0)
        async with bounded(store, limits) as served:
            slowest_s, took_s = await asyncio.to_thread(_among_half_open_heads, served, limits)
            await served.counts(tally.TIMEOUT_HEAD, HALF_OPEN_HEADS)
            print(f"\na good request took {slowest_s * 1000:.0f} ms at most; heads {took_s:.1f} s")
            assert slowest_s < 0.5
            # From the last one's first byte; their worker looks four times a second.
            assert took_s < limits.head_s + 2.0

    asyncio.run(story())


def test_a_client_network_has_so_many_connections_and_the_next_is_told_503(store: Path) -> None:
    with serve(store, "--client-connections", "8") as served, ExitStack() as open_clients:
        within = [open_clients.enter_context(closing(served.connect())) for _ in range(8)]
        for client in within:
            client.sendall(b"HEAD /film/v1/piece HTTP/1.1\r\nHost: a\r\n\r\n")
            assert read_response(client, head_only=True)[0] == 200
        with closing(served.connect()) as beyond:
            answer = read_to_end(beyond)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: " in answer
        refused = 'sluice_appliance_refused_total{reason="client_connections"}'
        assert served.counters()[refused] == 1
        # Another network, 127.0.0.2, is another client.
        with closing(
            socket.create_connection(("127.0.0.1", served.port), 9, ("127.0.0.2", 0))
        ) as other:
            other.sendall(b"HEAD /film/v1/piece HTTP/1.1\r\nHost: a\r\n\r\n")
            assert read_response(other, head_only=True)[0] == 200
        within[0].close()
        eventually(lambda: _is_answered(served), "a place that became free is given again")


def _is_answered(served: Served) -> bool:
    with closing(served.connect()) as client, suppress(OSError, AssertionError):
        client.sendall(b"HEAD /film/v1/piece HTTP/1.1\r\nHost: a\r\n\r\n")
        return read_response(client, head_only=True)[0] == 200
    return False


def test_a_client_that_trickles_is_ended_only_once_connections_run_out(store: Path) -> None:
    async def story() -> None:
        limits = Limits(connections=8, pace_s=0.5, pace_bytes_per_s=1 << 20)
        async with bounded(store, limits) as served:
            with closing(served.connect(receive_buffer_bytes=4096)) as slow:
                slow.sendall(b"GET /film/v1/film HTTP/1.1\r\nHost: a\r\n\r\n")
                for _ in range(10):
                    assert await asyncio.to_thread(slow.recv, SIP_BYTES)
                    await asyncio.sleep(SIP_S)
                assert served.counters.total(tally.TIMEOUT_PACE) == 0
                with ExitStack() as open_clients:
                    for _ in range(6):
                        open_clients.enter_context(closing(served.connect()))
                    await served.counts(tally.TIMEOUT_PACE, 1)
                    received = await asyncio.to_thread(read_to_end, slow)
                    assert len(received) < FILM_BYTES

    asyncio.run(story())


def _among_half_open_heads(served: Bounded, limits: Limits) -> tuple[float, float]:
    """(seconds that the slowest request of a good client took, seconds until the heads were ended)."""
    with ExitStack() as open_clients, closing(served.connect()) as good:
        half_open = [
            open_clients.enter_context(closing(served.connect())) for _ in range(HALF_OPEN_HEADS)
        ]
        for client in half_open:
            client.sendall(b"GET /film/v1/piece HTTP/1.1\r\nHost: a\r\n")
        began = time.monotonic()
        took_s = [0.0]
        while time.monotonic() < began + limits.head_s * 0.8:
            for client in half_open:
                client.send(b"X: a\r\n")
            asked_at = time.monotonic()
            good.sendall(b"HEAD /film/v1/piece HTTP/1.1\r\nHost: a\r\n\r\n")
            assert read_response(good, head_only=True)[0] == 200
            took_s.append(time.monotonic() - asked_at)
        for client in half_open:
            client.settimeout(DEADLINE_S)
            answer = read_to_end(client)
            assert answer.startswith(b"HTTP/1.1 408 ")
        return max(took_s), time.monotonic() - began
