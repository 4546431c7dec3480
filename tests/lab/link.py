"""A long, narrow or lossy wire between two network namespaces, in user space: for kernels without netem.

    unshare --net python link.py --left PID --right PID --rate-mbit 200 --rtt-ms 100 --loss 0.001 --seed 1

makes a tun device in the namespace of each PID (`left` is 10.77.0.1, `right` 10.77.0.2) and carries
packets between them until it is told to stop. It then says on standard output, as JSON, how many it
carried and lost. At 200 Mbit/s and packets of 1,500 bytes it takes about a third of a core.
"""

import argparse
import fcntl
import json
import os
import random
import select
import signal
import struct
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass

ADDRESSES = {"left": "10.77.0.1", "right": "10.77.0.2"}
READY = "carrying"
# Between our looks at it a tun device must hold what the path brings, so that what is lost is lost here.
DEVICE_QUEUE_PACKETS = 10_000
# What is read of one device before the other has a turn.
_READS_MAX = 128
# A packet may be this late; without it each would cost a wake.
_GRAIN_S = 0.000_3
_PACKET_BYTES_MAX = 2048
# linux/if_tun.h
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


@dataclass(slots=True)
class Lane:
    """One direction: a queue with a bound before a wire with a rate, a delay and a chance of loss."""

    bytes_per_s: float
    delay_s: float
    loss: float
    queue_bytes: int
    rng: random.Random
    free_at: float = 0.0
    carried: int = 0
    lost: int = 0
    overflowed: int = 0

    def carry(self, size_bytes: int, now: float) -> float | None:
        """When a packet handed in at `now` comes out at the far end; None where it never does."""
        starts = max(now, self.free_at)
        if (starts - now) * self.bytes_per_s + size_bytes > self.queue_bytes:
            self.overflowed += 1
            return None
        self.free_at = starts + size_bytes / self.bytes_per_s
        if self.loss and self.rng.random() < self.loss:
            self.lost += 1
            return None
        self.carried += 1
        return self.free_at + self.delay_s


def main() -> int:
    arguments = _arguments()
    bytes_per_s = arguments.rate_mbit * 1e6 / 8
    rng = random.Random(arguments.seed)
    # A queue as long as the round trip is what routers are given (BCP: one bandwidth-delay product).
    queue_bytes = max(64 * 1024, int(bytes_per_s * arguments.rtt_ms / 1e3))
    lanes = [
        Lane(bytes_per_s, arguments.rtt_ms / 2e3, arguments.loss, queue_bytes, rng),
        Lane(bytes_per_s, arguments.rtt_ms / 2e3, 0.0, queue_bytes, rng),
    ]
    left = _device("left", arguments.left)
    right = _device("right", arguments.right)
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    print(READY, flush=True)
    _carry(((left, right, lanes[0]), (right, left, lanes[1])), stopped)
    names = ("carried", "lost", "overflowed")
    print(json.dumps([{name: getattr(lane, name) for name in names} for lane in lanes]), flush=True)
    return 0


def _carry(directions: tuple[tuple[int, int, Lane], ...], stopped: list[int]) -> None:
    under_way: list[deque[tuple[float, bytes]]] = [deque() for _ in directions]
    sources = [source for source, _, _ in directions]
    while not stopped:
        first = min((queue[0][0] for queue in under_way if queue), default=None)
        wait = 0.1 if first is None else max(_GRAIN_S, first - time.monotonic())
        select.select(sources, [], [], wait)
        for (source, sink, lane), queue in zip(directions, under_way, strict=True):
            _take_in(source, lane, queue)
            now = time.monotonic()
            while queue and queue[0][0] <= now:
                os.write(sink, queue.popleft()[1])


def _take_in(source: int, lane: Lane, queue: deque[tuple[float, bytes]]) -> None:
    for _ in range(_READS_MAX):
        try:
            packet = os.read(source, _PACKET_BYTES_MAX)
        except BlockingIOError:
            return
        arrives = lane.carry(len(packet), time.monotonic())
        if arrives is not None:
            queue.append((arrives, packet))


def _device(side: str, namespace_pid: int) -> int:
    """A tun device in the namespace of a process; its descriptor stays here."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    wanted = struct.pack("16sH22x", side.encode(), _IFF_TUN | _IFF_NO_PI)
    fcntl.ioctl(descriptor, _TUNSETIFF, wanted)
    here, there = ADDRESSES[side], next(a for s, a in ADDRESSES.items() if s != side)
    inside = ["nsenter", "-t", str(namespace_pid), "-n", "ip"]
    for argv in (
        ["ip", "link", "set", side, "netns", str(namespace_pid)],
        [*inside, "link", "set", "lo", "up"],
        [*inside, "address", "add", here, "peer", there, "dev", side],
        [*inside, "link", "set", side, "txqueuelen", str(DEVICE_QUEUE_PACKETS), "up"],
    ):
        subprocess.run(argv, check=True)
    return descriptor


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--left", type=int, required=True, metavar="PID")
    parser.add_argument("--right", type=int, required=True, metavar="PID")
    parser.add_argument("--rate-mbit", type=float, required=True)
    parser.add_argument("--rtt-ms", type=float, required=True)
    parser.add_argument("--loss", type=float, default=0.0, help="of packets from left to right")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
