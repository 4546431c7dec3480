"""A real `sluice-appliance serve` over a store of our own, and a client that speaks raw bytes."""

import hashlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sluice_appliance.store.layout import (
    WITHOUT_BLOCKS,
    ObjectHeader,
    encode_header,
    object_path,
    parse_key,
)
from sluice_runtime.metrics import parse_exposition

# How long a thing that must happen may take on a busy machine.
DEADLINE_S = 30.0


def put_object(root: Path, key: str, body: bytes, content_type: str = "video/mp4") -> bytes:
    """Puts a whole object where a store would, by rename; returns its digest."""
    digest = hashlib.sha256(body).digest()
    path = Path(object_path(str(root), parse_key(key)))
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    page = encode_header(
        ObjectHeader(parse_key(key), len(body), digest, content_type), WITHOUT_BLOCKS
    )
    beside.write_bytes(page + body)
    beside.replace(path)
    return digest


def remove_object(root: Path, key: str) -> None:
    Path(object_path(str(root), parse_key(key))).unlink()


@dataclass
class Served:
    """A running `serve`."""

    process: subprocess.Popen[str]
    port: int
    admin_port: int
    stderr: Path

    def connect(self, *, receive_buffer_bytes: int | None = None) -> socket.socket:
        client = socket.socket()
        if receive_buffer_bytes is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        client.settimeout(DEADLINE_S)
        client.connect(("127.0.0.1", self.port))
        return client

    def workers(self) -> list[int]:
        """The process ids of its serving workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def counters(self) -> dict[str, float]:
        with closing(socket.create_connection(("127.0.0.1", self.admin_port))) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return dict(parse_exposition(read_response(client)[2].decode()))


@contextmanager
def serve(root: Path, *options: str, workers: int = 1) -> Iterator[Served]:
    """Runs `serve` until the block ends; it must end well and have written no traceback."""
    admin_port = free_port()
    stderr = root.parent / f"stderr-{admin_port}.log"
    argv = [sys.executable, "-m", "sluice_appliance.main", "serve", "--store", str(root)]
    argv += ["--listen", "127.0.0.1:0", "--workers", str(workers)]
    argv += ["--admin", f"127.0.0.1:{admin_port}", *options]
    with (
        stderr.open("w") as log,
        subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            line = read_line(process.stdout.fileno())
            assert line.startswith("serving http"), (line, stderr.read_text())
            yield Served(process, int(line.rsplit(":", 1)[1]), admin_port, stderr)
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()
    assert "Traceback" not in stderr.read_text()


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port: int = probe.getsockname()[1]
        return port


def read_line(descriptor: int) -> str:
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        line = b""
        while not line.endswith(b"\n"):
            assert selector.select(DEADLINE_S), f"no line within {DEADLINE_S} s, only {line!r}"
            piece = os.read(descriptor, 1)
            if not piece:
                break
            line += piece
        return line.decode().strip()


Answer = tuple[int, dict[str, str], bytes]


def read_response(client: socket.socket, *, head_only: bool = False) -> Answer:
    """(status, fields by lower-case name, body) of one response; reads not a byte further."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = client.recv(1)
        assert piece, f"the connection ended within a head: {head!r}"
        head += piece
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    status = int(first.split(" ")[1])
    if head_only or status in (204, 304):
        return status, fields, b""
    if "content-length" not in fields:
        return status, fields, read_to_end(client)
    return status, fields, read_exactly(client, int(fields["content-length"]))


def read_exactly(client: socket.socket, length: int) -> bytes:
    body = bytearray()
    while len(body) < length:
        piece = client.recv(min(length - len(body), 1 << 20))
        assert piece, f"the connection ended after {len(body)} of {length} bytes"
        body += piece
    return bytes(body)


def read_to_end(client: socket.socket) -> bytes:
    """All that comes until the peer closes; a reset counts as a close."""
    body = b""
    try:
        while piece := client.recv(1 << 16):
            body += piece
    except ConnectionResetError:
        pass
    return body


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Waits until `condition()` holds. Raises AssertionError that says `what` did not happen."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_S} s: {what}"
        time.sleep(0.01)
