"""A client that reads as players do, much at a time: what its core can take bounds large objects less.

wrk reads 8 KiB a call and asks after each what is left: 256 system calls a MiB, and its core is full at
3 GB/s whoever serves, by 256 connections at 64 KiB. Browsers read 64 KiB and more a call, curl 100 KiB.
This one's Python, some 5 us a request, would bound smaller objects.

It prints one line of JSON; `reading.run_reader` runs it on the clients' core.
"""

import argparse
import itertools
import json
import random
import re
import select
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

BUFFER_BYTES = 256 * 1024
# How many ranges are asked for in turn.
RANGES = 1024
_HEAD_BYTES_MAX = 16 * 1024
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_SILENT_S = 20.0


class Failed(Exception):
    """What came is no answer; the message says what it is."""


@dataclass(slots=True)
class Asking:
    """One connection: how many bytes of its response are still to come, -1 before its head."""

    socket: socket.socket
    asked_at: float = 0.0
    left: int = -1


@dataclass(slots=True)
class Seen:
    requests: int = 0
    took_s: list[float] = field(default_factory=list)


def main() -> int:
    arguments = _arguments()
    host, _, rest = arguments.url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    requests = _Requests(f"/{rest}", arguments.range_bytes, arguments.whole_bytes)
    try:
        seen, seconds = _load((name, int(port)), requests, arguments.connections, arguments.seconds)
    except (Failed, OSError) as error:
        sys.stderr.write(f"{arguments.url}: {error}\n")
        return 1
    took = sorted(seen.took_s)
    told = {"requests": seen.requests, "seconds": seconds}
    told |= {f"p{each}_ms": took[len(took) * each // 100] * 1000 for each in (50, 99)}
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


class _Requests:
    """Whole objects, or ranges at random places of one: the same few again and again, as players ask for the
    segments of one film. They are made before the clock runs, as wrk's (`ranges.lua`)."""

    def __init__(self, path: str, range_bytes: int, whole_bytes: int) -> None:
        line = f"GET {path} HTTP/1.1\r\nHost: reader\r\n".encode()
        self.status = b" 206 " if range_bytes else b" 200 "
        self._texts: Iterator[bytes]
        if not range_bytes:
            self._texts = itertools.repeat(line + b"\r\n")
            return
        rng = random.Random(1)
        firsts = [rng.randrange(whole_bytes // range_bytes) * range_bytes for _ in range(RANGES)]
        spans = (b"Range: bytes=%d-%d\r\n\r\n" % (at, at + range_bytes - 1) for at in firsts)
        self._texts = itertools.cycle([line + span for span in spans])

    def next(self) -> bytes:
        return next(self._texts)


def _load(
    address: tuple[str, int], requests: _Requests, connections: int, seconds: float
) -> tuple[Seen, float]:
    poller, asking, seen = select.epoll(), {}, Seen()
    for _ in range(connections):
        each = Asking(socket.create_connection(address))
        each.socket.setblocking(False)
        each.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        asking[each.socket.fileno()] = each
        poller.register(each.socket, select.EPOLLIN)
    buffer = bytearray(BUFFER_BYTES)
    began_at = time.monotonic()
    for each in asking.values():
        _ask(each, requests, began_at)
    now = began_at
    while now < began_at + seconds:
        ready = poller.poll(_SILENT_S)
        now = time.monotonic()
        if not ready:
            raise Failed(f"no byte for {_SILENT_S} s")
        for fd, _ in ready:
            _receive(asking[fd], buffer, requests, seen, now)
    if not seen.requests:
        raise Failed(f"no response was whole within {seconds} s")
    return seen, now - began_at


def _receive(each: Asking, buffer: bytearray, requests: _Requests, seen: Seen, now: float) -> None:
    received = each.socket.recv_into(buffer)
    if received == 0:
        raise Failed("the connection was ended")
    if each.left < 0:
        received = _body_bytes(each, buffer[: min(received, _HEAD_BYTES_MAX)], received, requests)
    each.left -= received
    if each.left == 0:
        seen.requests += 1
        seen.took_s.append(now - each.asked_at)
        _ask(each, requests, now)


def _body_bytes(each: Asking, start: bytearray, received: int, requests: _Requests) -> int:
    """Heads come in one piece: they are short, and the first thing on an idle connection."""
    end = start.find(b"\r\n\r\n")
    length = _LENGTH.search(start, 0, end + 2)
    if end < 0 or length is None or requests.status not in start[: start.find(b"\r\n")]:
        raise Failed(f"no such response was asked for: {bytes(start[:100])!r}")
    each.left = int(length[1])
    return received - end - 4


def _ask(each: Asking, requests: _Requests, now: float) -> None:
    each.left, each.asked_at = -1, now
    each.socket.send(requests.next())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: reader.py --connections 32 --seconds 2 http://127.0.0.1:8080/film/v1/a.mp4",
    )
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--range-bytes", type=int, default=0, help="ask for ranges of this size")
    parser.add_argument("--whole-bytes", type=int, default=0, help="how long the object is")
    parser.add_argument("url")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
