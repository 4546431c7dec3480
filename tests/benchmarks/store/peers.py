"""libcachesim's policies (PyPI, GPL; development only) in the box of `replay.py`.

libcachesim counts each miss as a write, and knows no budget. But it asks an *admissioner* before it inserts,
which here is the gate of `replay.py`: a block it refuses is not inserted, and the policy goes on as
if it had passed by. Belady is told when a block is asked for next, which nobody can know; it is the bound,
at the same budget, and once with as many writes as it likes.
"""

from array import array
from dataclasses import dataclass
from typing import Any

import libcachesim
from benchmarks.store.replay import Ask, Box, Gate
from benchmarks.store.traces import Trace

# Buckets of libcachesim's hash tables, as a power of two: twice the keys that are held at most.
HASH_POWER = 20
_NEVER = 2**62


@dataclass(frozen=True, slots=True)
class Known:
    """A policy of libcachesim, by its class there."""

    name: str
    factory: str
    is_online: bool = True
    # Learns, and ranks what it may evict by that.
    is_slow: bool = False


KNOWN = (
    Known("LRU", "LRU"),
    Known("SIEVE", "Sieve"),
    Known("S3-FIFO", "S3FIFO"),
    Known("W-TinyLFU", "WTinyLFU"),
    Known("GDSF", "GDSF"),
    Known("LRB", "LRB", is_slow=True),
)
BELADY = Known("Belady", "Belady", is_online=False)

# libcachesim (0.3.5) ends the process when it frees a cache with a Python admissioner, so none is freed.
_NEVER_FREED: list[Any] = []


def peer(known: Known, trace: Trace, box: Box, gate: Gate) -> Ask:
    now_is = [0.0]

    def admits(_: object, request: Any) -> bool:
        return gate.admits(request.obj_id, request.obj_size, now_is[0])

    admissioner = libcachesim.PluginAdmissioner(
        "gate", dict, admits, lambda *_: {}, lambda *_: {}, lambda *_: {}
    )
    cache = getattr(libcachesim, known.factory)(
        box.flash_bytes, hashpower=HASH_POWER, admissioner=admissioner
    )
    request = libcachesim.Request()
    request.valid = True
    _NEVER_FREED.extend((cache, admissioner, request))
    following = None if known.is_online else iter(next_asked(trace))
    get = cache.get

    def ask(key: int, size_bytes: int, now: float) -> bool:
        now_is[0] = now
        request.obj_id = key
        request.obj_size = size_bytes
        request.clock_time = int(now)
        if following is not None:
            request.next_access_vtime = next(following)
        return bool(get(request))

    return ask


def next_asked(trace: Trace) -> "array[int]":
    """For each request, the number of the next one for its key."""
    following = array("q", bytes(8 * len(trace.at)))
    coming: dict[int, int] = {}
    for number in range(len(trace.at) - 1, -1, -1):
        key = trace.at[number]
        following[number] = coming.get(key, _NEVER)
        coming[key] = number
    return following
