"""The room on each shelf while a plan is made: what is free, and what may be let go for more.

Every step of a plan takes its room here, in the order in which the steps will be done, so that no step
ever finds its shelf full.
"""

from collections.abc import Sequence

from sluice_appliance.fill.holdings import Standing
from sluice_appliance.fill.purse import UNKNOWN_BYTES_MAX
from sluice_appliance.fill.shelves import Shelf
from sluice_appliance.fill.survey import Eviction
from sluice_appliance.fill.tiers import Taken
from sluice_appliance.store.layout import ObjectHeader

# Of what has come of an object, a tenth may be beyond the room that there is, and no more than a plan cannot
# know of: to begin a film of hours anew for some MiB would be to fetch it for ever.
TOLERATED_PART = 10


class Room:
    """Shelves are named by their place in the plan's list."""

    def __init__(
        self,
        shelves: Sequence[Shelf],
        standings: Sequence[Standing],
        taken: Taken,
        former: Sequence[Sequence[ObjectHeader]],
    ) -> None:
        self.shelves = shelves
        self.evicted: list[Eviction] = []
        # What has come of these is given up: it needs more room than there is.
        self.given_up: set[ObjectHeader] = set()
        # Objects of taken titles that had to go all the same: no move finds them.
        self.shed: set[ObjectHeader] = set()
        self._taken = taken
        former_bytes = [sum([header.size_bytes for header in each]) for each in former]
        self.free = [
            shelf.capacity_bytes
            - sum([standing.on_bytes[i] for standing in standings])
            - former_bytes[i]
            for i, shelf in enumerate(shelves)
        ]
        # The least important last: they go first. Fewer and fewer ask for what a newer version replaces.
        self._victims = [
            [header for _, standing in taken.without_room for header in standing.on[i]]
            + [*former[i]]
            for i in range(len(shelves))
        ]
        self.evictable = [
            sum([standing.on_bytes[i] for _, standing in taken.without_room]) + former_bytes[i]
            for i in range(len(shelves))
        ]
        for _, standing, _ in taken.titles:
            if standing.is_begun:
                for i in range(len(shelves)):
                    self.free[i] -= sum(self.arrived(one, i) for one in standing.missing)

    def arrived(self, wanted: ObjectHeader, shelf: int) -> int:
        """How much of an object has come before."""
        partial = self.shelves[shelf].partial.get(wanted.key)
        is_of_use = partial is not None and partial.header == wanted
        return partial.arrived_bytes if partial and is_of_use and wanted not in self.given_up else 0

    def make(self, size_bytes: int, shelf: int, *, may_evict: bool) -> bool:
        """Takes so much, letting go of what is least important where that is allowed and helps."""
        if may_evict and size_bytes <= self.free[shelf] + self.evictable[shelf]:
            while self.free[shelf] < size_bytes:
                victim = self._victims[shelf].pop()
                self.evictable[shelf] -= victim.size_bytes
                self._evict(victim, shelf)
        if self.free[shelf] < size_bytes:
            return False
        self.free[shelf] -= size_bytes
        return True

    def shed_excess(self) -> None:
        """Lets go of what is over a shelf's capacity, when that shrank: first what serves nobody yet."""
        for shelf in range(len(self.shelves)):
            if self.free[shelf] < -self._tolerated(shelf):
                self._give_up_partials(shelf)
            if self.free[shelf] < -self._tolerated(shelf):
                self.make(0, shelf, may_evict=self.free[shelf] + self.evictable[shelf] >= 0)
            if self.free[shelf] < -self._tolerated(shelf):
                self._evict_taken(shelf)

    def _tolerated(self, shelf: int) -> int:
        """How far a shelf may be over its capacity for what has come in part: the last piece of each stream
        goes beyond what a plan gave, and file systems take more than was written. The next part that comes
        makes room for it."""
        return sum(
            min(UNKNOWN_BYTES_MAX, self.arrived(one, shelf) // TOLERATED_PART)
            for _, standing, _ in self._taken.titles
            if standing.is_begun
            for one in standing.missing
        )

    def _give_up_partials(self, shelf: int) -> None:
        for _, standing, _ in reversed(self._taken.titles):
            for wanted in reversed(standing.missing if standing.is_begun else ()):
                if self.free[shelf] >= 0:
                    return
                if self.arrived(wanted, shelf):
                    for i in range(len(self.shelves)):
                        self.free[i] += self.arrived(wanted, i)
                    self.given_up.add(wanted)

    def _evict_taken(self, shelf: int) -> None:
        while self._victims[shelf]:
            self._evict(self._victims[shelf].pop(), shelf)
        self.evictable[shelf] = 0
        for _, standing, _ in reversed(self._taken.titles):
            for header in reversed(standing.on[shelf]):
                if self.free[shelf] >= 0:
                    return
                self._evict(header, shelf)
                self.shed.add(header)

    def _evict(self, header: ObjectHeader, shelf: int) -> None:
        self.free[shelf] += header.size_bytes
        self.evicted.append(Eviction(header.key, self.shelves[shelf].tier))
