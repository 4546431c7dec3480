"""What a request costs in Python alone: a connection whose loop and wire do nothing.

The figures in the header of `serving/connection.py` come from here. It counts the thread's own CPU time
and takes the least of many runs, so that a busy machine blurs it little.
"""

import hashlib
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from select import EPOLLIN
from typing import cast

from sluice_appliance.serving import tally
from sluice_appliance.serving.answering import Answerer
from sluice_appliance.serving.cache_status import Outcome
from sluice_appliance.serving.cold_reads import ColdReads, DiskReads
from sluice_appliance.serving.concurrency import ConcurrencyLimiter
from sluice_appliance.serving.connection import Connection
from sluice_appliance.serving.events import Poller
from sluice_appliance.serving.host import Client, Tails
from sluice_appliance.serving.hot import Hot, HotAnswer
from sluice_appliance.serving.limits import Limits
from sluice_appliance.serving.memo import HeadMemo
from sluice_appliance.serving.objects import OpenObject, OpenObjects
from sluice_appliance.serving.popularity import Popularity
from sluice_appliance.serving.read_ahead import ReadAhead
from sluice_appliance.serving.residency import Residency
from sluice_appliance.serving.telling import Teller
from sluice_appliance.serving.tokens.gate import Demand, Gate, Policy
from sluice_appliance.serving.tokens.keys import KeySet
from sluice_appliance.store.disks import DiskPlace
from sluice_appliance.store.layout import (
    WITHOUT_BLOCKS,
    ObjectHeader,
    encode_header,
    object_path,
    parse_key,
)

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


class IdleEvents:
    """A loop and a poller that never have anything to tell."""

    def watch(self, fd: int, owner: object) -> None: ...
    def forget(self, fd: int) -> None: ...
    def later(self, resume: Callable[[], None]) -> None: ...


class IdleWire:
    """Has the same request whenever it is read, and takes all at once."""

    fd = -1
    tls = ""
    in_kernel = False
    last = False
    unsent = False

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._read = True

    def flush(self) -> bool:
        return True

    def receive(self, size_max: int) -> bytes:
        return self._request

    def drained(self, received_bytes: int) -> bool:
        return True

    def send(self, data: bytes, *, more: bool) -> int:
        return len(data)

    def send_body(self, source: OpenObject, offset: int, length: int) -> int:
        return length

    def send_with_body(self, head: bytes, source: OpenObject, offset: int, length: int) -> int:
        return len(head) + length

    def follow_path(self, bound_bytes: int) -> int:
        return bound_bytes

    def finish(self) -> None: ...

    def close(self) -> None: ...


class ForgetfulHot(Hot):
    """Keeps no answer, as when each request is another."""

    __slots__ = ()

    def keep(self, data: bytes, answer: HotAnswer) -> None:
        pass


class IdleHost:
    """A worker without sockets."""

    now = 1.0
    draining = False
    crowded = False
    teller: Teller | None = None
    limits = Limits()
    clock = staticmethod(time.monotonic)

    def __init__(self, root: str) -> None:
        self.row = memoryview(bytearray(tally.CELLS * 8)).cast("Q")
        self.poller = cast(Poller, IdleEvents())
        self.memo = HeadMemo()
        popularity = Popularity(1).claim()
        self.hot = Hot(self.row)
        residency = Residency()
        ahead = ReadAhead(self.row, lambda call: call(), lambda: 1.0, residency=residency)
        reads = DiskReads(ahead, ConcurrencyLimiter(1.0))
        self.cold_reads = ColdReads((root,), lambda: reads, lambda: 1.0)
        self.objects = OpenObjects((DiskPlace(root, ""),), 10, self.row, popularity, residency)
        self.answerer = Answerer(
            self.objects,
            self.cold_reads,
            self.row,
            cdn_id=b"a",
            gate=Gate(KeySet(), Policy(Demand.OFF, b"http"), self.row),
            wall_clock=lambda: 1.0,
        )
        tail = b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nCache-Status: a; hit\r\n\r\n"
        self.tails: Mapping[Outcome, Tails] = dict.fromkeys(Outcome, Tails(tail, tail, tail))
        self.hot_tails = Tails(tail, tail, tail)

    def gone(self, client: Client) -> None: ...

    def close(self) -> None:
        self.objects.close()
        self.cold_reads.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as root:
        path = Path(object_path(root, KEY))
        path.parent.mkdir(parents=True)
        header = ObjectHeader(KEY, len(BODY), hashlib.sha256(BODY).digest(), "video/mp4")
        path.write_bytes(encode_header(header, WITHOUT_BLOCKS) + BODY)
        for (name, request), keeps in product(REQUESTS.items(), (True, False)):
            host = IdleHost(root)
            if not keeps:
                host.hot = ForgetfulHot(host.row)
            connection = Connection(host, IdleWire(request), "127.0.0.1")
            least_s = min(_batch_s(connection) for _ in range(_BATCHES)) / _BATCH
            host.hot.flush()
            assert host.row[tally.RESPONSES_2XX] == _BATCH * _BATCHES
            which = "again" if keeps else "of a known header block"
            sys.stdout.write(f"{least_s * 1e6:5.1f} us for a request {name}, {which}\n")
            host.close()


def _batch_s(connection: Connection) -> float:
    began_s = time.thread_time()
    for _ in range(_BATCH):
        connection.on_event(EPOLLIN)
    return time.thread_time() - began_s


if __name__ == "__main__":
    main()
