"""What the fill has used of its budgets, kept over restarts: openings, flash, the link, what fill brings.

Two clocks go in. `wall` places windows and months, and may step: each opening has its own account, so
that a clock that is set back finds what was taken, and gives no budget twice. `steady` counts the seconds
that passed, whatever the clocks say, and is what a day of flash and days of returns are measured by.
"""

from dataclasses import dataclass, field, replace

import msgspec

from sluice_appliance.fill.budgets import WindowLedger
from sluice_appliance.fill.link_book import LinkBook, Month
from sluice_appliance.fill.percentile import LinkMonth
from sluice_appliance.fill.roi import FillRoi, advanced
from sluice_appliance.fill.windows import Opening

# Weeks of a few windows a day: a clock is never set back further unawares.
OPENINGS_MAX = 128
_HOUR_S = 3600.0
_HOURS_OF_DAY = 24


class AccountsDamaged(Exception):
    """What was kept cannot be read. Begin anew."""


class _Kept(msgspec.Struct, forbid_unknown_fields=True):
    """The file. Of a few hundred KiB at most: three months of samples."""

    wall: float
    steady: float
    openings: dict[str, int]
    flash: dict[str, int]
    months: list[Month]
    roi: FillRoi


@dataclass(slots=True)
class Accounts:
    """One box's."""

    link: LinkBook = field(default_factory=LinkBook)
    roi: FillRoi = field(default_factory=lambda: FillRoi(0.0, 0.0))
    # Bytes by when the opening began, the one written in last stands last.
    openings: dict[float, int] = field(default_factory=dict)
    # Bytes written to flash by hour of the steady clock.
    flash: dict[int, int] = field(default_factory=dict)

    def ledger(self, opening: Opening | None) -> WindowLedger:
        if opening is None:
            return WindowLedger()
        return WindowLedger(opening.opens_at, self.openings.get(opening.opens_at, 0))

    def took(self, size_bytes: int, wall: float, opening: Opening | None, *, waits: bool) -> None:
        """So many bytes came. `waits`: they could have waited, and are the window's."""
        if not waits:
            return
        self.link.add(wall, fill_bytes=size_bytes)
        if opening is not None:
            ledger = self.ledger(opening).after(size_bytes, opening)
            self.openings.pop(opening.opens_at, None)
            self.openings[opening.opens_at] = ledger.taken_bytes
            while len(self.openings) > OPENINGS_MAX:
                del self.openings[next(iter(self.openings))]

    def wrote_flash(self, size_bytes: int, steady: float) -> None:
        hour = int(steady // _HOUR_S)
        self.flash[hour] = self.flash.get(hour, 0) + size_bytes
        for old in [each for each in self.flash if each < hour - _HOURS_OF_DAY]:
            del self.flash[old]

    def flash_written(self, steady: float) -> int:
        """In the last 24 hours, and in what of one more hour is counted with them."""
        since = int(steady // _HOUR_S) - _HOURS_OF_DAY
        return sum(size_bytes for hour, size_bytes in self.flash.items() if hour >= since)

    def month(self, wall: float) -> LinkMonth:
        return self.link.month(wall)

    def returned(self, steady: float, *, filled_bytes: int, offloaded_bytes: int) -> None:
        """So many bytes more were fetched, and sent to players. A box is young from its first byte."""
        if not self.roi.filled_bytes and filled_bytes:
            self.roi = replace(self.roi, began_at=steady, at=steady)
        self.roi = advanced(
            self.roi, steady, filled_bytes=filled_bytes, offloaded_bytes=offloaded_bytes
        )


def to_bytes(accounts: Accounts, *, wall: float, steady: float) -> bytes:
    return msgspec.json.encode(
        _Kept(
            wall,
            steady,
            {repr(opens_at): taken for opens_at, taken in accounts.openings.items()},
            {str(hour): written for hour, written in accounts.flash.items()},
            accounts.link.months,
            accounts.roi,
        )
    )


def from_bytes(content: bytes, *, wall: float) -> tuple[Accounts, float]:
    """(the accounts, the steady clock's time now): what passed meanwhile is what the wall clock says, and
    nothing where that was set back. Raises AccountsDamaged."""
    try:
        kept = msgspec.json.decode(content, type=_Kept)
        openings = {float(opens_at): taken for opens_at, taken in kept.openings.items()}
        flash = {int(hour): written for hour, written in kept.flash.items()}
    except (msgspec.DecodeError, ValueError, OverflowError) as error:
        raise AccountsDamaged(str(error)) from None
    if any(len(month.fill) != len(month.others) for month in kept.months):
        raise AccountsDamaged("a month has more samples of one kind than of the other")
    negative = [n for n in (*openings.values(), *flash.values()) if n < 0]
    if negative:
        raise AccountsDamaged(f"{negative[0]} bytes, expected 0 or more")
    steady = kept.steady + max(0.0, wall - kept.wall)
    return Accounts(LinkBook(kept.months), kept.roi, openings, flash), steady
