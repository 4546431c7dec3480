"""What fill may add to a link that is billed by a percentile, so that the bill stays what it is.

A month is cut into slots of five minutes. At the 95th percentile a twentieth of them is free, and of the
others the one that carried most is the bill. What is not ours to move (viewers' misses, urgent fetches)
makes a bill by itself; fill may come

- in any slot, up to the level that the others have made the bill reach already, and
- without bound in as many slots as are free and the others will not need.

How many the others will need is what they took in the same slots of the month before; where nothing is known
of it, as large a share of the slots to come as of those that were. If they need no more than that, the
month's percentile with fill is what it would be without (the law of the tests). The free slots are spread
over the days that are left, so that the first night does not take them all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil, inf

SLOT_S = 300
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

    def __post_init__(self) -> None:
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
    """Cost: two sorts of the month's samples, 0.2 to 2 ms."""
    paid = billed_bytes(link.others, link.slots, percentile)
    present = len(link.others) - 1
    today = present - present % SLOTS_OF_DAY
    above = [
        mine > 0 and mine + theirs > paid >= theirs
        for mine, theirs in zip(link.fill, link.others, strict=True)
    ]
    bursts, bursts_today = sum(above), sum(above[today:present])
    # Counted with the present slot's, which is given anew each time it is asked about.
    spare = _free(link.slots, percentile) - _needed(link, paid) - bursts + above[present]
    days_left = ceil((link.slots - today) / SLOTS_OF_DAY)
    of_today = ceil((spare + bursts_today) / days_left) - bursts_today
    free_slots = max(0, min(spare, of_today))
    # A slot that the others have made free for themselves is nobody's loss, if they have enough of them.
    is_free = free_slots > 0 or (spare >= 0 and link.others[present] > paid)
    left = max(0, paid - link.others[present] - link.fill[present])
    return Headroom(paid, free_slots, inf if is_free else left)


def bytes_until(link: LinkMonth, room: Headroom, *, slots: int, rate_bytes_per_s: float) -> float:
    """What fill may add in the next `slots` slots, at a rate that may be infinite."""
    free = min(slots, room.free_slots)
    slot_bytes = rate_bytes_per_s * SLOT_S
    # The hour before tells what others will take of what is paid for.
    busiest = max(link.others[-SLOTS_OF_DAY // 24 :])
    paid = (slots - free) * min(slot_bytes, max(0, room.paid_bytes - busiest))
    return paid + (free * slot_bytes if free else 0)


def _free(slots: int, percentile: int) -> int:
    return slots * (100 - percentile) // 100


def _needed(link: LinkMonth, paid: int) -> int:
    """Slots of the whole month in which others alone are above what is paid for."""
    seen = len(link.others)
    above = sum(theirs > paid for theirs in link.others)
    if link.expected:
        return above + sum(theirs > paid for theirs in link.expected[seen : link.slots])
    return ceil(above * link.slots / seen)
