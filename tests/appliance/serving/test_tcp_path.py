"""What the kernel says of a real connection, and what it then takes of it."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from sluice_appliance.serving.tcp_path import bound_unsent, follow, look
from sluice_appliance.serving.unsent import CAP_BYTES, FLOOR_BYTES, SAME_MACHINE_RTT_US

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A server's end, accepted from a listener with the bound, and a client that reads nothing."""
    with socket.socket() as listener:
        bound_unsent(listener, FLOOR_BYTES)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with closing(socket.create_connection(listener.getsockname())) as client:
            server, _ = listener.accept()
            with server:
                server.setblocking(False)
                yield server, client


def fill(server: socket.socket) -> int:
    """Sends until the kernel takes no more; returns how much is unsent (tcpi_notsent_bytes)."""
    try:
        while True:
            server.send(bytes(256 * 1024))
    except BlockingIOError:
        pass
    said = server.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 148)
    return int.from_bytes(said[144:148], "little")


def test_a_loopback_client_is_seen_to_be_on_this_machine(pair: Pair) -> None:
    server, client = pair
    for _ in range(20):
        server.send(b"ping")
        client.recv(4)
    assert 0 < look(server).min_rtt_us < SAME_MACHINE_RTT_US
    assert look(server).delivery_bytes_per_s > 0
    assert follow(server, FLOOR_BYTES) == FLOOR_BYTES


def test_a_client_that_reads_nothing_leaves_no_more_unsent_than_the_listener_was_told(
    pair: Pair,
) -> None:
    server, _ = pair
    assert 0 < fill(server) <= FLOOR_BYTES + 256 * 1024


def test_a_bound_that_moved_is_the_one_that_the_kernel_keeps(pair: Pair) -> None:
    server, _ = pair
    bound_unsent(server, CAP_BYTES)
    assert follow(server, CAP_BYTES) == FLOOR_BYTES
    kept = server.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
    assert kept == FLOOR_BYTES
