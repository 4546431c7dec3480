"""Plays a trace against a policy, with one flash-write budget and one memory for all, and counts.

All policies stand in the same box: flash of `flash_bytes`, memory of a hundredth of it through which all
goes that was fetched, and the product's own `WriteBudget`, asked before every byte written to flash.

Equal flash writes are kept up like this. Whatever a policy inserts is written to flash once, whole, when it is
inserted; what it does with it afterwards (to another of its queues, to the end of one) moves names and writes
nothing, which is to the peers' favour: S3-FIFO and W-TinyLFU would write again from their small queue to their
large one. A peer that wants to insert a block for which the budget has no bytes is told that it may not, and it
goes on as if the block had passed by. So no policy writes more than another may, each spends its bytes on what
it likes as they come, and what each wrote is told. "Second hit" is the same peer that is offered a block
only when it was asked for before, which is what spares flash in the field.

The first fifth of a trace only fills; its misses are not counted, its writes are.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from benchmarks.store.traces import Trace

from sluice_appliance.store.keeping import FlashCache, Found
from sluice_appliance.store.write_budget import WriteBudget, write_budget

WARM_SHARE = 0.2
MEMORY_SHARE = 0.01
# What our own policy is called in tables.
OURS = "Sluice"


@dataclass(frozen=True, slots=True)
class Box:
    flash_bytes: int
    memory_bytes: int
    drive_writes_per_day: float

    def budget(self) -> WriteBudget:
        return write_budget(self.drive_writes_per_day, self.flash_bytes, 0.0)


@dataclass(frozen=True, slots=True)
class Outcome:
    policy: str
    trace: str
    drive_writes_per_day: float
    byte_miss_ratio: float
    object_miss_ratio: float
    flash_bytes_per_byte_served: float
    cpu_us_per_request: float
    seed: int


class Policy(Protocol):
    """What keeps blocks in a box."""

    def has(self, key: int, size_bytes: int, now: float) -> bool:
        """Asks for a block; whether it came from the box."""

    def written_bytes(self) -> int: ...


def box_for(trace: Trace, flash_share: float, drive_writes_per_day: float) -> Box:
    """Flash for so much of all that the trace asks for."""
    flash_bytes = int(trace.footprint_bytes() * flash_share)
    return Box(flash_bytes, int(flash_bytes * MEMORY_SHARE), drive_writes_per_day)


def replay(name: str, policy: Policy, trace: Trace, box: Box, seed: int = 1) -> Outcome:
    warm_until = trace.time_s[-1] * WARM_SHARE
    sizes, has = trace.size_bytes, policy.has
    asked = asked_bytes = missed = missed_bytes = served_bytes = 0
    began = time.process_time()
    for now, key in zip(trace.time_s, trace.at, strict=True):
        size_bytes = sizes[key]
        served_bytes += size_bytes
        found = has(key, size_bytes, now)
        if now < warm_until:
            continue
        asked += 1
        asked_bytes += size_bytes
        if not found:
            missed += 1
            missed_bytes += size_bytes
    spent_s = time.process_time() - began
    return Outcome(
        policy=name,
        trace=trace.name,
        drive_writes_per_day=box.drive_writes_per_day,
        byte_miss_ratio=missed_bytes / asked_bytes,
        object_miss_ratio=missed / asked,
        flash_bytes_per_byte_served=policy.written_bytes() / served_bytes,
        cpu_us_per_request=spent_s * 1e6 / len(trace.at),
        seed=seed,
    )


class Sluice:
    """The product's own."""

    def __init__(self, trace: Trace, box: Box):
        self._keys = trace.keys
        self._budget = box.budget()
        self._cache = FlashCache(
            flash_bytes=box.flash_bytes,
            memory_bytes=box.memory_bytes,
            budget=self._budget,
            now=0.0,
        )

    def has(self, key: int, size_bytes: int, now: float) -> bool:
        return self._cache.request(self._keys[key], size_bytes, now).found is not Found.NOWHERE

    def written_bytes(self) -> int:
        return self._budget.given_bytes


class Gate:
    """Who may be written to flash: those the budget has bytes for and, where that is asked, those that were
    asked for before. What was asked for is known exactly, for three times the keys that fit: no
    Bloom filter of this size does better."""

    def __init__(self, box: Box, *, second_hit: bool, remembered_max: int):
        self.budget = box.budget()
        self._second_hit = second_hit
        self._remembered_max = remembered_max
        self._seen: OrderedDict[int, None] = OrderedDict()

    def admits(self, key: int, size_bytes: int, now: float) -> bool:
        if self._second_hit and not self._was_seen(key):
            return False
        return self.budget.take(size_bytes, now)

    def _was_seen(self, key: int) -> bool:
        if key in self._seen:
            self._seen.move_to_end(key)
            return True
        self._seen[key] = None
        if len(self._seen) > self._remembered_max:
            self._seen.popitem(last=False)
        return False


# Asks the peer for a block, which it keeps if the gate admits it; whether it had it.
Ask = Callable[[int, int, float], bool]


class Peer:
    """A policy for flash with the same memory before it: what is not on flash is found there for a while."""

    def __init__(self, ask: Ask, gate: Gate, box: Box):
        self._ask = ask
        self._gate = gate
        self._memory: OrderedDict[int, int] = OrderedDict()
        self._room = box.memory_bytes

    def has(self, key: int, size_bytes: int, now: float) -> bool:
        if self._ask(key, size_bytes, now) or key in self._memory:
            return True
        self._memory[key] = size_bytes
        self._room -= size_bytes
        while self._room < 0:
            self._room += self._memory.popitem(last=False)[1]
        return False

    def written_bytes(self) -> int:
        return self._gate.budget.given_bytes


def gate_for(trace: Trace, box: Box, *, second_hit: bool) -> Gate:
    mean_bytes = trace.footprint_bytes() / max(len(set(trace.at)), 1)
    return Gate(box, second_hit=second_hit, remembered_max=int(3 * box.flash_bytes / mean_bytes))
