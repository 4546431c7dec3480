"""What fetches that are under way may still spend of the budgets, and what they have spent."""

from collections.abc import Callable
from math import inf

from sluice_appliance.fill.bookkeeper import Bookkeeper
from sluice_appliance.fill.budgets import Allowance
from sluice_appliance.fill.pace import Pace
from sluice_appliance.fill.plan import Fetch
from sluice_appliance.fill.policy import NO_LIMITS, FillPolicy, Priority
from sluice_appliance.fill.purse import Purse
from sluice_appliance.fill.tally import FillTally
from sluice_appliance.store.disks import Tier


class Spending:
    """`promised_bytes`: what all purses together may still take, or those for one tier."""

    def __init__(
        self,
        books: Bookkeeper,
        pace: Pace,
        tally: FillTally,
        *,
        promised_bytes: Callable[[Tier | None], float],
    ) -> None:
        self._books = books
        self._pace = pace
        self._tally = tally
        self._promised_bytes = promised_bytes
        self._slot_left_bytes = inf
        self.policy: FillPolicy = NO_LIMITS
        # Of all flash that is in use.
        self.flash_capacity_bytes = 0

    def may(self) -> Allowance:
        """What may come now."""
        return self._books.may(self.policy, flash_capacity_bytes=self.flash_capacity_bytes)

    def flash_left_bytes(self) -> float:
        """What may be written to flash now beside what was promised to fetches: cheap, as each block that is
        worth keeping asks."""
        left_bytes = self._books.flash_left_bytes(self.policy, self.flash_capacity_bytes)
        return max(0.0, left_bytes - self._promised_bytes(Tier.SSD))

    def purse(self, fetch: Fetch, priority: Priority) -> Purse:
        is_emergency = priority is Priority.EMERGENCY
        is_flash = fetch.tier is Tier.SSD

        def took(size_bytes: int) -> None:
            self._books.took(size_bytes, self.policy, priority, flash=is_flash)
            if is_emergency:
                self._count_over_bill(size_bytes)
            else:
                self._slot_left_bytes -= size_bytes
                self._heed_slot()

        def may_give(size_bytes: float) -> bool:
            may = self.may()
            left = may.urgent.left_bytes
            if not is_emergency:
                left = min(left, may.normal.left_bytes)
            if is_flash:
                left = min(left, may.flash.left_bytes)
            return left - self._promised_bytes(None) >= size_bytes

        take_bytes: float = fetch.take_bytes
        if is_flash:
            # Others may have written to it since the plan was made.
            take_bytes = min(take_bytes, self.flash_left_bytes())
        return Purse(take_bytes, took, waits=not is_emergency, may_give=may_give)

    def renew_slot(self) -> None:
        """The link's present five minutes, as they are known now."""
        self._slot_left_bytes = self._books.slot_left(self.policy)
        self._heed_slot()

    def _heed_slot(self) -> None:
        """What could wait does, while the five minutes have as much as is paid for."""
        self._pace.hold(self._slot_left_bytes <= 0)

    def _count_over_bill(self, size_bytes: int) -> None:
        if self._slot_left_bytes <= 0:
            self._tally.over_bill(size_bytes)
