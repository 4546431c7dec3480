"""What fill may add to a link that is billed by a percentile, so that the bill stays what it is.

A month is cut into slots of five minutes. At the 95th percentile a twentieth of them is free, and of the
others the one that carried most is the bill. What is not ours to move (viewers' misses, urgent fetches)
makes a bill by itself; fill may come

- in any slot, up to nine tenths of the level that the others have made the bill reach already, and
- without bound in as many slots as are free and the others will not need.

How many the others will need is what they took in the same slots of the month before; where they were above
the bill more often than then, so much more of what is left, and half as much again. Where that month is
not known, twice the share of the slots that were watched, and at least half of what is free; and in
the first day that is watched all. If they need no more than that, the month's percentile with fill is what it
would be without (the law of the tests); below the level that is paid for, it is so whatever they need. The
free slots are spread over the days that are left, so that the first night does not take them all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil, inf

SLOT_S = 300
# Of what is paid for so much is used: what others take of a slot is known only when it is over.
PAID_SHARE = 0.9
# Others that outdo their forecast do so again, and more.
OUTDONE_FACTOR = 1.5
# What a few days show says little of a month: so many times as much is left to others, ...
UNKNOWN_FACTOR = 2.0
# ... and so much of the free slots at least.
UNKNOWN_SHARE = 0.5
SLOTS_OF_DAY = 86_400 // SLOT_S


@dataclass(frozen=True, slots=True)
class LinkMonth:
    """What the link carried, in bytes a slot, from the month's first slot to the present one."""

    slots: int
    # Fill that could have waited.
    fill: Sequence[int]
    # All else; of the present slot, as much as is known to come.
    others: Sequence[int]
    # What others took in each slot of the month before; empty where nobody knows.
    expected: Sequence[int] = field(default=())
    # The first slot of which anything is known: those before are empty, and may have been full.
    watched_from: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.watched_from <= len(self.others):
            raise ValueError(f"watched_from is {self.watched_from}, expected 0..{len(self.others)}")
        if not 1 <= len(self.fill) == len(self.others) <= self.slots:
            raise ValueError(
                f"{len(self.fill)} slots of fill and {len(self.others)} of others,"
                f" expected as many of each, 1..{self.slots}"
            )


@dataclass(frozen=True, slots=True)
class Headroom:
    """What the link takes without a dearer bill."""

    # Bytes a slot that are paid for.
    paid_bytes: int
    # Slots of today, the present one among them, in which any more is free.
    free_slots: int
    # What fill may still add to the present slot.
    slot_bytes: float


def month_of(now: float) -> tuple[float, int]:
    """When the month began, in UTC, and how many slots it has."""
    begin = datetime.fromtimestamp(now, UTC).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    after = (begin + timedelta(days=31)).replace(day=1)
    return begin.timestamp(), (after - begin).days * SLOTS_OF_DAY


def billed_bytes(samples: Sequence[int], slots: int, percentile: int) -> int:
    """The bill of a month of which `samples` are known, and the other slots empty, in bytes a slot."""
    free = _free(slots, percentile)
    return sorted(samples, reverse=True)[free] if len(samples) > free else 0


def headroom(link: LinkMonth, percentile: int) -> Headroom:
    """Cost: a sort of the month's samples and a few looks at them, 0.3 ms on its first day and 1.8 ms on its
    last (`tests/simulation/costs.py`, beside other load)."""
    paid = billed_bytes(link.others, link.slots, percentile)
    present = len(link.others) - 1
    today = present - present % SLOTS_OF_DAY
    above = [
        mine > 0 and mine + theirs > paid >= theirs
        for mine, theirs in zip(link.fill, link.others, strict=True)
    ]
    bursts, bursts_today = sum(above), sum(above[today:present])
    free = _free(link.slots, percentile)
    # Counted with the present slot's, which is given anew each time it is asked about.
    spare = free - _needed(link, paid, free) - bursts + above[present]
    days_left = ceil((link.slots - today) / SLOTS_OF_DAY)
    of_today = ceil((spare + bursts_today) / days_left) - bursts_today
    free_slots = max(0, of_today)
    # A slot that the others have made free for themselves is nobody's loss, if they have enough of them.
    is_free = free_slots > 0 or (spare >= 0 and link.others[present] > paid)
    left = max(0.0, PAID_SHARE * paid - link.others[present] - link.fill[present])
    return Headroom(paid, free_slots, inf if is_free else left)


def bytes_until(link: LinkMonth, room: Headroom, *, slots: int, rate_bytes_per_s: float) -> float:
    """What fill may add in the next `slots` slots, at a rate that may be infinite."""
    free = min(slots, room.free_slots)
    slot_bytes = rate_bytes_per_s * SLOT_S
    # The hour before tells what others will take of what is paid for.
    busiest = max(link.others[-SLOTS_OF_DAY // 24 :])
    paid = (slots - free) * min(slot_bytes, max(0.0, PAID_SHARE * room.paid_bytes - busiest))
    return paid + (free * slot_bytes if free else 0)


def _free(slots: int, percentile: int) -> int:
    return slots * (100 - percentile) // 100


def _needed(link: LinkMonth, paid: int, free: int) -> int:
    """Slots of the whole month in which others alone are above what is paid for."""
    seen = len(link.others)
    above = _above(link.others, paid)
    if link.expected:
        foreseen = _above(link.expected[:seen], paid)
        to_come = _above(link.expected[seen : link.slots], paid)
        if above > foreseen:
            to_come = ceil(to_come * OUTDONE_FACTOR * above / max(1, foreseen))
        # Before it is watched, others did as they were expected to.
        return above + _above(link.expected[: link.watched_from], paid) + to_come
    watched = seen - link.watched_from
    if watched <= SLOTS_OF_DAY:
        # More than there are: not even a slot that is above the bill already is known to be free.
        return free + 1
    # Before it was watched, fill may have had its share of them.
    before = ceil(free * link.watched_from / link.slots)
    to_come = ceil(UNKNOWN_FACTOR * above * (link.slots - seen) / watched)
    return above + before + max(to_come, ceil(UNKNOWN_SHARE * free))


def _above(samples: Sequence[int], paid: int) -> int:
    return sum([sample > paid for sample in samples])
