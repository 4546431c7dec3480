"""Sources over HTTP that do one thing wrong each, in the middle of an object, and an origin that is right."""

import contextlib
import hashlib
import http.server
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

MIB = 1 << 20
# More than one piece of 8 MiB, so that a source is asked twice for it.
_PIECES = {"changes": 9 * MIB}
WAYS = (
    *("dies", "few", "lies", "many", "stalls", "refuses", "redirects"),
    *("wrong_range", "changes"),
)
# What a slow source sends at a time, and how often.
SLOW_BYTES = 10_000
SLOW_EVERY_S = 0.02


def body_of(title: str) -> bytes:
    """Of the one object of a title, which is named as the fault is."""
    return random.Random(title).randbytes(_PIECES.get(title, MIB + 300_000))


@dataclass
class Conduct:
    """What sources do, and what they were asked."""

    # (who, title, first byte), in order.
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    # Titles that the origin sends slowly now, and those that it is too busy for the first time.
    slow: set[str] = field(default_factory=set)
    busy: set[str] = field(default_factory=set)
    # When the origin last said that it is busy, by a monotonic clock.
    busy_at: float = 0.0
    under_way: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    def asked_of(self, who: str, title: str) -> list[int]:
        return [first for each, of, first in list(self.asked) if (each, of) == (who, title)]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    conduct: Conduct
    # "origin" is right.
    way: str
    # Where redirects lead.
    elsewhere = ""

    def do_GET(self) -> None:
        title = self.path.rpartition("/")[2].partition(".")[0]
        body = body_of(title)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "bytes=0-"))
        assert asked is not None
        first = int(asked[1])
        behind = int(asked[2]) + 1 if asked[2] else len(body)
        self.conduct.asked.append((self.way, title, first))
        self.conduct.under_way += 1
        try:
            self._answer(title, body, first, behind)
        except OSError:
            self.close_connection = True
        finally:
            self.conduct.under_way -= 1

    def _answer(self, title: str, body: bytes, first: int, behind: int) -> None:
        conduct = self.conduct
        match self.way:
            case "origin" if title in conduct.busy:
                conduct.busy.discard(title)
                conduct.busy_at = time.monotonic()
                self._head(503, 0, {"Retry-After": "2"})
            case "origin":
                self._send(body, first, behind, slow=title)
            case "dies":
                self._send(body, first, behind, upto=first + (behind - first) // 2)
                # An RST, as of a machine that is gone.
                off = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, off)
                self.close_connection = True
            case "few":
                self._send(body[: len(body) // 2], first, min(behind, len(body) // 2))
            case "many":
                self._send(body + b"and more", first, behind + 8)
            case "lies":
                wrong = body[:MIB] + bytes([body[MIB] ^ 1]) + body[MIB + 1 :]
                self._send(wrong, first, behind)
            case "stalls":
                self._send(body, first, behind, upto=first + (behind - first) // 3)
                conduct.released.wait(20)
                self.close_connection = True
            case "refuses":
                self._head(500, 0, {})
            case "redirects":
                self._head(302, 0, {"Location": f"{self.elsewhere}{self.path.lstrip('/')}"})
            case "wrong_range":
                self._send(body, first + 1, behind)
            case "changes":
                self._send(body, first, behind, etag=str(len(conduct.asked)))

    def _send(
        self,
        body: bytes,
        first: int,
        behind: int,
        *,
        upto: int | None = None,
        slow: str = "",
        etag: str = "",
    ) -> None:
        fields = {"Content-Range": f"bytes {first}-{behind - 1}/{len(body)}"}
        fields["ETag"] = f'"{etag or hashlib.sha256(body).hexdigest()}"'
        self._head(206, behind - first, fields)
        at, end = first, behind if upto is None else upto
        while at < end:
            is_slow = slow in self.conduct.slow
            sent = min(end - at, SLOW_BYTES if is_slow else MIB)
            self.wfile.write(body[at : at + sent])
            self.wfile.flush()
            at += sent
            if is_slow:
                time.sleep(SLOW_EVERY_S)

    def _head(self, status: int, length: int, fields: Mapping[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(
    conduct: Conduct, way: str, host: str = "127.0.0.1", *, elsewhere: str = ""
) -> Iterator[int]:
    """On a free port while the block runs."""
    handler = type(f"_{way}", (_Handler,), {"conduct": conduct, "way": way, "elsewhere": elsewhere})
    server = http.server.ThreadingHTTPServer((host, 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_port
    finally:
        conduct.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
