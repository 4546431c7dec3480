"""What a request costs in Python alone: a connection whose loop and wire do nothing.

The figures in the header of `serving/connection.py` come from here. It counts the thread's own CPU time
and takes the least of many runs, so that a busy machine blurs it little.
"""

import hashlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sluice_appliance.serving import tally
from sluice_appliance.serving.connection import Connection
from sluice_appliance.serving.limits import Limits
from sluice_appliance.serving.objects import OpenObject, OpenObjects
from sluice_appliance.serving.wire import Readiness
from sluice_appliance.store.layout import ObjectHeader, encode_header, object_path, parse_key

KEY = parse_key("bench/v1/a.mp4")
BODY = bytes(65536)
REQUESTS = {
    "bare": b"GET /bench/v1/a.mp4 HTTP/1.1\r\nHost: 127.0.0.1:8081\r\n\r\n",
    "of a browser, with a range": (
        b"GET /bench/v1/a.mp4 HTTP/1.1\r\nHost: 127.0.0.1:8081\r\nConnection: keep-alive\r\n"
        b"User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\nAccept-Language: en\r\n"
        b"Accept-Encoding: identity\r\nOrigin: http://a\r\nReferer: http://a/\r\n"
        b"Range: bytes=0-65535\r\n\r\n"
    ),
}
_BATCH = 2000
_BATCHES = 60


class IdleLoop:
    def add_reader(self, fd: int, callback: Callable[[], None]) -> None: ...

    def remove_reader(self, fd: int) -> bool:
        return True

    def add_writer(self, fd: int, callback: Callable[[], None]) -> None: ...

    def remove_writer(self, fd: int) -> bool:
        return True


class IdleHost:
    now = 1.0
    draining = False
    tail = tail_close = tail_keep_alive = b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n"

    def __init__(self, root: str) -> None:
        self.loop: Readiness = IdleLoop()
        self.limits = Limits()
        self.row = memoryview(bytearray(tally.CELLS * 8)).cast("Q")
        self.objects = OpenObjects(root, 10, self.row)

    def gone(self, connection: Connection) -> None: ...


class IdleWire:
    """Has the same request whenever it is read, and takes all at once."""

    fd = -1

    def __init__(self, request: bytes) -> None:
        self._request = request

    def receive(self) -> bytes | None:
        return self._request

    def has_pending(self) -> bool:
        return False

    def send(self, data: bytes, *, more: bool) -> int:
        return len(data)

    def send_body(self, source: OpenObject, offset: int, length: int) -> int:
        return length

    def finish(self) -> None: ...

    def close(self) -> None: ...


def main() -> None:
    with tempfile.TemporaryDirectory() as root:
        path = Path(object_path(root, KEY))
        path.parent.mkdir(parents=True)
        header = ObjectHeader(KEY, len(BODY), hashlib.sha256(BODY).digest(), "video/mp4")
        path.write_bytes(encode_header(header) + BODY)
        for name, request in REQUESTS.items():
            host = IdleHost(root)
            connection = Connection(host, IdleWire(request))
            least_s = min(_batch_s(connection) for _ in range(_BATCHES)) / _BATCH
            assert host.row[tally.RESPONSES_2XX] == _BATCH * _BATCHES
            sys.stdout.write(f"{least_s * 1e6:5.1f} us for a request {name}\n")
            host.objects.close()


def _batch_s(connection: Connection) -> float:
    began_s = time.thread_time()
    for _ in range(_BATCH):
        connection.on_readable()
    return time.thread_time() - began_s


if __name__ == "__main__":
    main()
