"""Decides how many bytes may wait in the kernel for one connection.

A client on this machine takes what is sent out of the same cache: all that waits for it, in flight or
not, is kept small (SO_SNDBUF). For every other path what is in flight is the kernel's to size: it follows the congestion window, and a buffer fixed by
SO_SNDBUF would cap a path at so many bytes a round trip (256 KiB at 100 ms: 28 Mbit/s of 200). What is
*unsent* serves only to bridge the time until the worker comes by again, so it is bounded by what the path
carries in that time (TCP_NOTSENT_LOWAT). More costs memory, twice over where TLS copies it; less costs a
wake of the event loop for every few packets (a 200 Mbit/s path: 1.1 s of worker a GB at 128 KiB, 0.4 s
at 1 MiB). tests/lab/test_links.py holds it to the kernel's own goodput.
"""

from typing import NamedTuple

# Every connection begins here. Less was no better for a client on this machine and costs more wakes.
FLOOR_BYTES = 128 * 1024
# Twice as much would save another 0.1 to 0.2 s of worker a GB, for twice the memory.
CAP_BYTES = 1024 * 1024
# All connections together hold what they hold at the floor and this long of the line's rate: 63 MB at
# 10 Gbit/s, however many clients share it. It is some forty wakes a second for a fast connection.
AHEAD_S = 0.05
# What may wait for a client on this machine, in all. A third of it more or less changed nothing.
SAME_MACHINE_BYTES = 256 * 1024
# A client on this machine (5 to 20 us over loopback, no wire is as short) copies what we send out of
# the same cache: at 1 MiB unsent its copy costs it 1.2 times as much with CUBIC, twice with BBR.
SAME_MACHINE_RTT_US = 50


class PathInfo(NamedTuple):
    """What the kernel has measured of a connection's path; 0 where it has measured nothing yet."""

    min_rtt_us: int
    delivery_bytes_per_s: int


def is_same_machine(path: PathInfo) -> bool:
    """Whether the client is on this machine, or nothing was measured of its path yet."""
    return path.min_rtt_us < SAME_MACHINE_RTT_US


def next_bound(path: PathInfo, bound_bytes: int) -> int:
    """The bound that follows `bound_bytes`: the floor, doubled some times, at most the cap.

    It moves only for a path that is twice as fast, or less than half as fast, as its bound is for: the
    delivery rate is one sample of the last round trips, and jumps.
    """
    if is_same_machine(path):
        return FLOOR_BYTES
    wanted = int(path.delivery_bytes_per_s * AHEAD_S)
    if bound_bytes <= 2 * wanted and wanted < 2 * bound_bytes:
        return bound_bytes
    bound = FLOOR_BYTES
    while bound < CAP_BYTES and 2 * bound <= wanted:
        bound *= 2
    return bound
