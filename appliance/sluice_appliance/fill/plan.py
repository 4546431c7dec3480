"""What to fetch, what to let go and what to move, from what is wanted, what is held, and what may come.

Titles come in order of importance and are held whole or not at all. A title that does not fit is passed
over and smaller ones behind it may still be taken. What is held of a title that was passed over stays
until its room is needed by one that is taken and comes whole with what is left of the budgets: nothing
that is wanted is let go for what cannot arrive. A title that is larger than a whole budget comes in
parts, and room is made for each part as it comes, and for no more of it. The former version of a title is
kept like that too, until the wanted one is whole; it is the first to go.

Cost: 7 ms in the mean of a fleet's month, 10,000 objects in 1,000 titles a box, beside other load (`make
simulate-fill`); 1 ms where nothing changed, 8 ms where the manifest was read anew, 14 ms where all of it has to
come (`tests/simulation/costs.py`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import NamedTuple

from sluice_appliance.fill.budgets import EVERYTHING, Allowance, Wait
from sluice_appliance.fill.holdings import Standing
from sluice_appliance.fill.manifest import WantedTitle
from sluice_appliance.fill.policy import Priority
from sluice_appliance.fill.room import Room
from sluice_appliance.fill.shelves import Shelf, Tier
from sluice_appliance.fill.survey import Eviction, survey
from sluice_appliance.fill.tiers import Taken, take
from sluice_appliance.store.layout import ObjectHeader


# The small ones are tuples: a plan makes thousands, and a frozen dataclass takes three times as long.
class Fetch(NamedTuple):
    """One object to fetch, the title that asks for it, and where it goes."""

    title: str
    version: str
    wanted: ObjectHeader
    tier: Tier
    # How much of it may come now, beyond what has come before: the rest waits for the next budget.
    take_bytes: int


class Move(NamedTuple):
    """One object that another tier suits better: copied, then let go where it was."""

    header: ObjectHeader
    source: Tier
    target: Tier


class Postponed(NamedTuple):
    """A title to hold that cannot come now, or not all of it."""

    title: WantedTitle
    missing_bytes: int
    wait: Wait


@dataclass(frozen=True, slots=True)
class FillPlan:
    """Evict, demote, fetch in order, promote: then no tier ever holds more than its capacity."""

    evict: tuple[Eviction, ...]
    demote: tuple[Move, ...]
    fetch: tuple[Fetch, ...]
    promote: tuple[Move, ...]
    postponed: tuple[Postponed, ...]
    # Titles for which there is no room, the most wanted first.
    without_room: tuple[WantedTitle, ...]
    # What urgent titles take beyond what the link carries without a dearer bill; for a counter.
    over_bill_bytes: int
    # All that is to be held and is not, now or later: what has come of these is kept.
    awaited: tuple[ObjectHeader, ...]


def plan_fill(
    titles: Sequence[WantedTitle], shelves: Sequence[Shelf], may: Allowance = EVERYTHING
) -> FillPlan:
    """The same input makes the same plan. `shelves`: at least one, the fastest first."""
    standings, former, evict = survey(titles, shelves)
    taken = take(titles, standings, shelves)
    room = Room(shelves, standings, taken, former)
    room.shed_excess()
    astray = _astray(taken, shelves)
    demote = _moves(reversed(astray), room, Tier.HDD, inf)
    orders = _Orders(room, may)
    incomplete = [each for each in taken.titles if each[1].missing]
    for title, standing, shelf in incomplete:
        orders.add(title, standing, shelf)
    promote = _moves(astray, room, Tier.SSD, orders.flash_bytes)
    missing = [one for _, standing, _ in incomplete for one in standing.missing]
    return FillPlan(
        evict=tuple(sorted(evict + room.evicted, key=lambda one: (one.key, one.tier.value))),
        demote=demote,
        fetch=tuple(orders.fetches),
        promote=promote,
        postponed=tuple(orders.postponed),
        over_bill_bytes=orders.over_bill_bytes,
        without_room=tuple([title for title, _ in taken.without_room]),
        awaited=tuple([one for one in missing if one not in room.given_up])
        if room.given_up
        else tuple(missing),
    )


class _Orders:
    """Fetches, as they use up the budgets."""

    def __init__(self, room: Room, may: Allowance) -> None:
        self.fetches: list[Fetch] = []
        self.postponed: list[Postponed] = []
        self._room = room
        self._may = may
        self._urgent_bytes = may.urgent.left_bytes
        self._normal_bytes = may.normal.left_bytes
        self.flash_bytes = may.flash.left_bytes
        self._unbilled_bytes = may.unbilled_bytes

    @property
    def over_bill_bytes(self) -> int:
        return ceil(max(0, -self._unbilled_bytes))

    def add(self, title: WantedTitle, standing: Standing, shelf: int) -> None:
        """Fetches what is missing of a title, as far as it may come now."""
        room, needs = self._room, standing.missing_bytes
        if title.priority is Priority.NORMAL and not self._may.is_proactive:
            self._postpone(title, needs, Wait.ROI)
            return
        if needs and title.priority is not Priority.EMERGENCY and self._normal_bytes < 1:
            self._postpone(title, needs, self._may.wait)
            return
        shelf = self._place(standing, shelf)
        left, whole = self._budget(title.priority, room.shelves[shelf].tier)
        if needs and left < 1:
            self._postpone(title, needs, self._why(title.priority, shelf))
            return
        more = [one.size_bytes for one in standing.missing]
        if standing.is_begun:
            more = [one.size_bytes - room.arrived(one, shelf) for one in standing.missing]
            needs = sum(more)
        if needs <= left and room.make(needs, shelf, may_evict=True):
            self._order(title, standing.missing, shelf, more)
        else:
            # What would fit a whole budget waits for one; what fits none comes in parts.
            may_evict = needs > whole and needs <= room.free[shelf] + room.evictable[shelf]
            takes = self._parts(more, shelf, left, may_evict=may_evict)
            self._order(title, standing.missing, shelf, takes)
            may_begin = needs <= left or needs > whole
            is_short_of_room = may_begin and sum(takes) < int(min(needs, left))
            why = Wait.ROOM if is_short_of_room else self._why(title.priority, shelf)
            self._postpone(title, needs, why)

    def _parts(
        self, more: Sequence[int], shelf: int, left: float, *, may_evict: bool
    ) -> Sequence[int]:
        """What comes of each object of a title that does not come whole; none of the rest."""
        takes: list[int] = []
        for its_more in more:
            part = its_more if its_more <= left else int(left)
            if (part < its_more and part == 0) or not self._room.make(
                part, shelf, may_evict=may_evict
            ):
                break
            takes.append(part)
            left -= part
            if part < its_more:
                break
        return takes

    def _postpone(self, title: WantedTitle, missing_bytes: int, wait: Wait) -> None:
        self.postponed.append(Postponed(title, missing_bytes, wait))

    def _order(
        self, title: WantedTitle, missing: Sequence[ObjectHeader], shelf: int, takes: Sequence[int]
    ) -> None:
        """The first of `missing`, as many as `takes` says how much of."""
        tier, name, version = self._room.shelves[shelf].tier, title.title, title.version
        # As far as the shorter of both goes.
        each = zip(missing, takes, strict=False)
        self.fetches.extend([Fetch(name, version, wanted, tier, size) for wanted, size in each])
        size_bytes = sum(takes)
        self._urgent_bytes -= size_bytes
        self._unbilled_bytes -= size_bytes
        if title.priority is not Priority.EMERGENCY:
            self._normal_bytes -= size_bytes
        if tier is Tier.SSD:
            self.flash_bytes -= size_bytes

    def _place(self, standing: Standing, shelf: int) -> int:
        """Where the title goes; for one that has not begun to come, the other tier where its own has no
        room or may not be written now."""
        room = self._room
        if len(room.shelves) == 1 or standing.home is not None:
            return shelf
        needs, other = standing.movable_bytes, 1 - shelf
        for begun in (shelf, other) if standing.is_begun else ():
            if any(room.arrived(wanted, begun) for wanted in standing.missing):
                return begun
        if self._takes(needs, shelf, room.free[shelf] + room.evictable[shelf]):
            return shelf
        takes = self._takes(needs, other, room.free[other] + room.evictable[other])
        return other if takes else shelf

    def _takes(self, size_bytes: int, shelf: int, room_bytes: int) -> bool:
        is_flash = self._room.shelves[shelf].tier is Tier.SSD
        return size_bytes <= room_bytes and (not is_flash or size_bytes <= self.flash_bytes)

    def _budget(self, priority: Priority, tier: Tier) -> tuple[float, float]:
        """What is left for a title, and what a whole budget would be."""
        left, whole = self._urgent_bytes, self._may.urgent.whole_bytes
        if priority is not Priority.EMERGENCY:
            left = min(left, self._normal_bytes, self._unbilled_bytes)
            whole = min(whole, self._may.normal.whole_bytes)
        if tier is Tier.SSD:
            left = min(left, self.flash_bytes)
            whole = min(whole, self._may.flash.whole_bytes)
        return max(0, left), whole

    def _why(self, priority: Priority, shelf: int) -> Wait:
        if priority is not Priority.EMERGENCY and self._normal_bytes < 1:
            return self._may.wait
        is_flash = self._room.shelves[shelf].tier is Tier.SSD
        return Wait.FLASH if is_flash and self.flash_bytes < 1 else Wait.BUDGET


def _astray(taken: Taken, shelves: Sequence[Shelf]) -> Sequence[tuple[Standing, int]]:
    """Titles that have some of them on another shelf than theirs."""
    if len(shelves) == 1:
        return ()
    return [
        (standing, shelf) for _, standing, shelf in taken.titles if standing.on_bytes[1 - shelf]
    ]


def _moves(
    titles: Iterable[tuple[Standing, int]], room: Room, target: Tier, write_bytes: float
) -> tuple[Move, ...]:
    """To one tier, in the order of `titles`, as much of it as there is room for and may be written."""
    moves: list[Move] = []
    for standing, shelf in titles:
        other = 1 - shelf
        if room.shelves[shelf].tier is not target:
            continue
        for header in standing.on[other]:
            if header.size_bytes > write_bytes or header in room.shed:
                continue
            # Flash is not emptied for what is served from a slow disk meanwhile; a slow disk is, for what
            # has to leave flash.
            if not room.make(header.size_bytes, shelf, may_evict=target is Tier.HDD):
                continue
            room.free[other] += header.size_bytes
            write_bytes -= header.size_bytes
            moves.append(Move(header, room.shelves[other].tier, target))
    return tuple(moves)
