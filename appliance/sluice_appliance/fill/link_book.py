"""What the link carried, in slots of five minutes, month by month: what `percentile.py` decides by.

A clock that is set back goes on in slots that were counted before, and adds to them; months that a wrong
clock made are forgotten when others are written in, so that nothing is ever given twice and little is lost.
"""

from dataclasses import dataclass, field

from sluice_appliance.fill.percentile import SLOT_S, LinkMonth, month_of

# This month, the one before that says what others need, and one that a wrong clock made.
MONTHS_MAX = 3


@dataclass(slots=True)
class Month:
    """Bytes a slot."""

    # In seconds since 1970.
    begins_at: float
    slots: int
    # The first slot that was watched.
    watched_from: int = 0
    # Fill that could have waited, and all else.
    fill: list[int] = field(default_factory=list)
    others: list[int] = field(default_factory=list)

    def reach(self, slot: int) -> None:
        missing = slot + 1 - len(self.fill)
        if missing > 0:
            self.fill.extend([0] * missing)
            self.others.extend([0] * missing)


class LinkBook:
    """`now` is the wall clock."""

    def __init__(self, months: list[Month] | None = None) -> None:
        # The one written in last stands last.
        self.months = (months or [])[-MONTHS_MAX:]

    def add(self, now: float, *, fill_bytes: int = 0, other_bytes: int = 0) -> None:
        month, slot = self._present(now)
        month.fill[slot] += fill_bytes
        month.others[slot] += other_bytes

    def month(self, now: float) -> LinkMonth:
        """As it is known. What was counted in slots that are to come counts as if it were before."""
        month, slot = self._present(now)
        last = self._before(month.begins_at)
        return LinkMonth(
            month.slots,
            _with_last(month.fill, slot),
            _with_last(month.others, slot),
            last.others if last is not None else (),
            min(month.watched_from, slot),
        )

    def _before(self, begins_at: float) -> Month | None:
        before, _ = month_of(begins_at - 1)
        return next((each for each in self.months if each.begins_at == before), None)

    def _present(self, now: float) -> tuple[Month, int]:
        begins_at, slots = month_of(now)
        month = next((each for each in self.months if each.begins_at == begins_at), None)
        slot = min(slots - 1, int((now - begins_at) // SLOT_S))
        if month is None:
            # A box that watched the month before has watched this one from its first slot.
            month = Month(begins_at, slots, 0 if self._before(begins_at) else slot)
            self.months = [*self.months, month][-MONTHS_MAX:]
        elif month is not self.months[-1]:
            self.months.remove(month)
            self.months.append(month)
        month.reach(slot)
        return month, slot


def _with_last(samples: list[int], slot: int) -> list[int]:
    return [*samples[:slot], *samples[slot + 1 :], samples[slot]]
