"""Decides what becomes of each block that is asked for: served from flash, kept in memory, or written to flash.

A block that is not on flash goes through memory (`probation.py`). It is written to flash, at its first or a later
request, once it is worth so much more than what would have to go (`worth.py`, `eviction.py`) that it pays
the price of writing (`admission.py`), and if the budget has its bytes (`write_budget.py`), which holds
whatever the rest decides. Viewers who are on the way to it (`viewers.py`) are worth a write of their own: one
fetch from afar then serves them all. Nothing of it is learned beforehand, nothing is drawn by chance: the same
requests give the same verdicts.

Cost: 23 to 41 us a request over the VOD trace and 9 to 19 us over the others (tests/benchmarks/store, on two cores
with work for twenty), most of it for misses, which is beside a fetch from afar. O(1) but for the `LOOKED_AT` of a
write.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from functools import partial

from sluice_appliance.store.admission import WritePrice
from sluice_appliance.store.eviction import NOBODY, FlashQueue, Weakest
from sluice_appliance.store.probation import Probation
from sluice_appliance.store.worth import Count, Known, Worth
from sluice_appliance.store.write_budget import WriteBudget

# Of what a tier has room for, so many keys more are remembered for what was asked for them.
REMEMBERED_BLOCKS_MIN = 1_000_000
# How fast the least worth on flash is followed, by write or vain look.
_FOLLOW = 0.02
# What is known of it fades so fast, by each block not looked at, lest an old figure shuts flash for good.
_FADE = 0.9999


class Found(Enum):
    """Where a block was; a label of counters."""

    FLASH = "flash"
    MEMORY = "memory"
    NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True)
class Verdict:
    found: Found
    # Its bytes, in memory now or as they come, are to be written to flash.
    writes: bool = False
    # To be deleted from flash before.
    evicted: tuple[str, ...] = ()
    # To be let go from memory, their last chance of flash gone; perhaps the block itself.
    dropped: tuple[str, ...] = ()


_ON_FLASH = Verdict(Found.FLASH)
_IN_MEMORY = Verdict(Found.MEMORY)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What files on flash do not tell, to go on from after a restart."""

    counts: tuple[Count, ...]
    price: float
    budget_left_bytes: float


class FlashCache:
    """One flash tier and its memory. Begins empty at `now`; `hold` tells it what is on the disk. `take_of_day`:
    takes so many bytes of what the box's flash may be written today, by whomever, if it has them."""

    __slots__ = ("_least_worth", "_take_of_day", "budget", "flash", "memory", "price", "worth")

    def __init__(
        self,
        *,
        flash_bytes: int,
        memory_bytes: int,
        budget: WriteBudget,
        now: float,
        remembered_max: int = REMEMBERED_BLOCKS_MIN,
        take_of_day: Callable[[int], bool] = lambda size_bytes: True,
    ):
        self.flash = FlashQueue(flash_bytes)
        self.memory = Probation(memory_bytes)
        self.budget = budget
        self._take_of_day = take_of_day
        self.price = WritePrice(budget.rate_bytes_per_s, budget.burst_bytes, now)
        self.worth = Worth(now, keys_max=remembered_max)
        # About what the next to go is worth, so that most misses need no look at the queue.
        self._least_worth = 0.0

    def request(self, key: str, size_bytes: int, now: float) -> Verdict:
        """A block is asked for whole; the verdict is as good as done."""
        known = self.worth.asked(key, now)
        if key in self.flash:
            return _ON_FLASH
        in_memory = key in self.memory
        going = self._for_flash(known, size_bytes, now)
        if going is not None:
            for each in going.keys:
                self.flash.remove(each)
            self.flash.add(key, size_bytes)
            self.memory.remove(key)
            return Verdict(Found.MEMORY if in_memory else Found.NOWHERE, True, going.keys)
        if in_memory:
            return _IN_MEMORY
        return Verdict(
            Found.NOWHERE,
            dropped=self.memory.add(key, size_bytes, partial(self.worth.is_awaited, now=now)),
        )

    def hold(self, blocks: Iterable[tuple[str, int]]) -> tuple[str, ...]:
        """What is on flash at a start, the oldest first. Told are those for which there is no room: to be
        deleted."""
        beyond = []
        for key, size_bytes in blocks:
            if key in self.flash:
                continue
            if size_bytes > self.flash.room_bytes:
                beyond.append(key)
            else:
                self.flash.add(key, size_bytes)
        return tuple(beyond)

    def lost(self, key: str) -> None:
        """It could not be fetched, written or read: it is neither on flash nor in memory."""
        self.flash.remove(key)
        self.memory.remove(key)

    def remembered(self, now: float) -> Remembered:
        return Remembered(self.worth.counts(now), self.price.at(now), self.budget.left_bytes(now))

    def resume(self, remembered: Remembered, now: float) -> None:
        """Lost in between are the blocks in memory, and the order of the queue if `hold` was told none."""
        self.worth.resume(remembered.counts, now)
        self.price.resume(remembered.price, now)
        self.budget.resume(remembered.budget_left_bytes, now)

    def _for_flash(self, known: Known, size_bytes: int, now: float) -> Weakest | None:
        """Who goes for it, if it is to be written."""
        if size_bytes > self.flash.capacity_bytes:
            return None
        worth, price = self.worth.known(known, now), self.price.at(now)
        is_full = size_bytes > self.flash.room_bytes
        if worth <= price + (self._least_worth if is_full else 0.0):
            self._least_worth *= _FADE
            return None
        going = NOBODY
        if is_full:
            going = self.flash.weakest(size_bytes, self.worth.teller(now))
            self._least_worth += _FOLLOW * (going.worth - self._least_worth)
        if going.lost >= (worth - price) * size_bytes:
            return None
        self.price.wanted(size_bytes)
        has_own = size_bytes <= self.budget.left_bytes(now)
        if has_own and not self._take_of_day(size_bytes):
            self.budget.refused_bytes += size_bytes
            return None
        return going if self.budget.take(size_bytes, now) else None
