"""Decides when a slow client's connection is ended.

What a slow client costs is a connection, a descriptor and at most one socket buffer; it costs no time. So
while there is room it may be as slow as its link is, and is ended only where nothing moves at all: a player
that is paused stops reading, loses its connection after `write_s`, and asks for the rest by a range when it
goes on. Once connections run out, one that trickles stands in the way of others: then it must have taken
`pace_bytes_per_s` on average over `pace_s`, less than any film needs, and idle connections are kept for a
shorter time. A request head has `head_s` from its first byte, room or not: no client needs longer.

Bytes count as taken when the kernel takes them. It asks for more once a third of its buffer is free, so a
link slower than a third of the buffer for each `write_s` (2.9 KiB/s at 256 KiB) looks like one that is dead.
"""

from sluice_appliance.serving.limits import Limits

# Of the connections that a worker may have: beyond this they run out.
CROWDED = 0.75


def is_crowded(connections: int, limits: Limits) -> bool:
    """Whether slow clients stand in the way of others."""
    return connections > CROWDED * limits.connections


def idle_s(limits: Limits, *, crowded: bool, draining: bool) -> float:
    """How long a connection may stay silent between requests."""
    if draining:
        return limits.drain_idle_s
    return min(limits.request_s, limits.crowded_request_s) if crowded else limits.request_s


class Pace:
    """How fast one client takes a long response, window by window; made with its first long wait."""

    __slots__ = ("_began_at", "_had_bytes", "_trickles")

    def __init__(self, sent_bytes: int, now: float) -> None:
        """`sent_bytes`: of the response so far, as in `trickles`."""
        self._began_at = now
        self._had_bytes = sent_bytes
        self._trickles = False

    def trickles(self, sent_bytes: int, now: float, limits: Limits) -> bool:
        """Whether it took too little in the last whole window; False before there was one."""
        over_s = now - self._began_at
        if over_s >= limits.pace_s:
            self._trickles = sent_bytes - self._had_bytes < limits.pace_bytes_per_s * over_s
            self._began_at, self._had_bytes = now, sent_bytes
        return self._trickles
