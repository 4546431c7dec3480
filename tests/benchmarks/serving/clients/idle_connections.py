"""Keep-alive connections that have asked once and then say nothing: a hall of paused players."""

import resource
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.serving.clients.load import LoadFailed

# Each source address has some 28,000 ports; a server may also bound the connections of one client.
PER_ADDRESS = 250
# How many may be on their way at once: fewer than a server's queue of clients not yet accepted.
_BATCH = 200
_TIMEOUT_S = 20.0
_SPARE_DESCRIPTORS = 200


class IdleConnections:
    def __init__(self, sockets: list[socket.socket]) -> None:
        self._sockets = sockets

    def still_open(self) -> int:
        """How many the server has not closed."""
        with selectors.DefaultSelector() as selector:
            for each in self._sockets:
                selector.register(each, selectors.EVENT_READ)
            # Nothing was asked since: what can be read is the end.
            return len(self._sockets) - len(selector.select(0))


@contextmanager
def idle_connections(port: int, name: str, count: int) -> Iterator[IdleConnections]:
    """Opens `count`, each having fetched `/name`. Raises LoadFailed."""
    _raise_descriptor_limit(count)
    with ExitStack() as stack:
        sockets: list[socket.socket] = []
        for first in range(0, count, _BATCH):
            batch = range(first, min(first + _BATCH, count))
            opened = [stack.enter_context(_connect(port, number)) for number in batch]
            ask = f"GET /{name} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
            for each in opened:
                each.sendall(ask)
            for each in opened:
                _read_response(each)
            sockets += opened
        yield IdleConnections(sockets)


def _connect(port: int, number: int) -> socket.socket:
    # 127/8 is all this machine: 127.0.1.1, 127.0.1.2 and so on.
    address = number // PER_ADDRESS
    source = f"127.0.{1 + address // 250}.{1 + address % 250}"
    return socket.create_connection(("127.0.0.1", port), _TIMEOUT_S, (source, 0))


def _read_response(client: socket.socket) -> None:
    """Reads a response with a Content-Length to its end."""
    got, deadline_s = b"", time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline_s:
        piece = client.recv(65536)
        got += piece
        head, end, body = got.partition(b"\r\n\r\n")
        if end:
            fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
            if len(body) >= int(fields[b"content-length"]):
                return
        if not piece:
            break
    raise LoadFailed(f"a connection got {len(got)} bytes and then the end: {got[:200]!r}")


def _raise_descriptor_limit(count: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count + _SPARE_DESCRIPTORS:
        raise LoadFailed(
            f"{count} connections need {count + _SPARE_DESCRIPTORS} descriptors, the limit is"
            f" {hard}: raise it (ulimit -Hn) or ask for fewer (--idle)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
