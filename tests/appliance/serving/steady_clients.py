"""Clients that ask again and again on connections that they keep, and forgive nothing.

A request that gets no whole, right answer on the connection that it was sent on has failed: nothing is
asked twice. A connection is opened anew only where the response before said `Connection: close`.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from appliance.serving.serve_process import DEADLINE_S


@dataclass
class SteadyClients:
    """What they got so far."""

    # Of each client: answers, and connections opened.
    answers: list[int]
    connections: list[int]
    failures: list[str] = field(default_factory=list)

    @property
    def answered(self) -> int:
        return sum(self.answers)


@contextmanager
def steady_clients(
    connect: Callable[[], socket.socket], target: str, body: bytes, *, clients: int
) -> Iterator[SteadyClients]:
    """Runs them in threads until the block ends; each then finishes the request that it is at."""
    seen = SteadyClients([0] * clients, [0] * clients)
    stop = threading.Event()
    request = f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode()

    def live(number: int) -> None:
        while not stop.is_set():
            try:
                with connect() as client:
                    seen.connections[number] += 1
                    client.settimeout(DEADLINE_S)
                    _ask_until_closed(client, number)
            except (OSError, AssertionError, ValueError) as error:
                seen.failures.append(f"client {number}: {error!r}")

    def _ask_until_closed(client: socket.socket, number: int) -> None:
        closes = False
        while not closes and not stop.is_set():
            client.sendall(request)
            head, received = _read_response(client, len(body))
            assert head.startswith(b"HTTP/1.1 200 "), head
            assert received == body, f"{len(received)} bytes, or others"
            seen.answers[number] += 1
            closes = b"\r\nConnection: close\r\n" in head

    threads = [threading.Thread(target=live, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _read_response(client: socket.socket, body_bytes: int) -> tuple[bytes, bytes]:
    """(head, body), where nothing else is asked meanwhile: cheaper than byte by byte."""
    received, end = b"", -1
    while end < 0 or len(received) < end + 4 + body_bytes:
        piece = client.recv(65536)
        assert piece, f"the connection ended after {received[:200]!r}"
        received += piece
        end = received.find(b"\r\n\r\n") if end < 0 else end
    return received[: end + 4], received[end + 4 :]
