"""One box in the simulation: it does what a plan says, and checks the laws of plans as it does.

The link's others are quiet but for an hour in the evening. A tenth of the nights is cut short: only the
first part of what was planned comes.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sluice_appliance.fill.budgets import Allowance, WindowLedger, allowance, flash_budget
from sluice_appliance.fill.holdings import Holdings
from sluice_appliance.fill.manifest import WantedTitle
from sluice_appliance.fill.percentile import SLOTS_OF_DAY, LinkMonth, billed_bytes, headroom
from sluice_appliance.fill.plan import FillPlan, Move
from sluice_appliance.fill.policy import FillPolicy
from sluice_appliance.fill.shelves import Partial, Shelf, Tier
from sluice_appliance.fill.windows import next_opening_at, opening_at
from sluice_appliance.store.layout import ObjectKey

MONTH_SLOTS = 31 * SLOTS_OF_DAY
_EVENING = slice(240, 252)
_EVENING_BYTES = 10**12
_CUT_SHORT = 0.1


@dataclass
class Stock:
    """What one tier holds."""

    capacity_bytes: int
    held: Holdings = field(default_factory=Holdings)
    partial: dict[ObjectKey, Partial] = field(default_factory=dict)
    stored_bytes: int = 0


@dataclass
class Moved:
    """Bytes of all plans, and how often a law was checked."""

    fetched: int = 0
    evicted: int = 0
    evicted_wanted: int = 0
    promoted: int = 0
    demoted: int = 0
    laws: int = 0


class Box:
    """`wants` and `policy` may be changed between nights."""

    def __init__(
        self, policy: FillPolicy, capacities: dict[Tier, int], rng: random.Random, moved: Moved
    ) -> None:
        self.policy = policy
        self.stocks = {tier: Stock(size) for tier, size in capacities.items()}
        self._rng = rng
        self._moved = moved
        self._ledger = WindowLedger()
        self._flash_written = 0
        self._others = [0] * SLOTS_OF_DAY
        self._others[_EVENING] = [_EVENING_BYTES] * 12
        self._expected = self._others * 31
        self._fill = [0] * MONTH_SLOTS

    def shelves(self) -> tuple[Shelf, ...]:
        return tuple(
            Shelf(tier, stock.capacity_bytes, stock.held, stock.partial)
            for tier, stock in self.stocks.items()
        )

    def next_night(self, now: float) -> float:
        return next_opening_at(self.policy.windows, now)

    def allowed(self, now: float, month_began_at: float) -> tuple[Allowance, LinkMonth]:
        slot = int(now - month_began_at) // 300
        link = LinkMonth(
            MONTH_SLOTS, self._fill[: slot + 1], self._expected[: slot + 1], self._expected
        )
        flash_bytes = self.stocks[Tier.SSD].capacity_bytes
        flash = flash_budget(
            self.policy, capacity_bytes=flash_bytes, written_bytes=self._flash_written
        )
        return allowance(self.policy, now, ledger=self._ledger, link=link, flash=flash), link

    def act(
        self,
        plan: FillPlan,
        may: Allowance,
        wanted: Sequence[WantedTitle],
        now: float,
        link: LinkMonth,
    ) -> None:
        self._check_budgets(plan, may)
        self._evict(plan, wanted)
        self._move(plan.demote)
        come = self._fetch(plan)
        self._move(plan.promote)
        opening = opening_at(self.policy.windows, now)
        assert opening is not None, f"nothing is open at {datetime.fromtimestamp(now, UTC)}"
        self._ledger = self._ledger.after(come, opening)
        self._bill(come, link)
        self._moved.promoted += sum(move.header.size_bytes for move in plan.promote)
        self._moved.demoted += sum(move.header.size_bytes for move in plan.demote)

    def check_bill(self) -> None:
        """At the end of the month."""
        percentile = self.policy.billed_percentile
        if percentile is not None:
            total = [mine + theirs for mine, theirs in zip(self._fill, self._expected, strict=True)]
            without = billed_bytes(self._expected, MONTH_SLOTS, percentile)
            assert billed_bytes(total, MONTH_SLOTS, percentile) == without, "the bill is dearer"
            self._moved.laws += 1

    def _check_budgets(self, plan: FillPlan, may: Allowance) -> None:
        takes = sum(fetch.take_bytes for fetch in plan.fetch)
        flash = sum(fetch.take_bytes for fetch in plan.fetch if fetch.tier is Tier.SSD)
        flash += sum(move.header.size_bytes for move in plan.promote)
        assert takes <= may.normal.left_bytes, f"{takes} bytes, {may.normal.left_bytes} may come"
        assert flash <= may.flash.left_bytes, f"{flash} bytes, {may.flash.left_bytes} to flash"
        # The next night is another day.
        self._flash_written = 0
        self._moved.laws += 2

    def _evict(self, plan: FillPlan, wanted: Sequence[WantedTitle]) -> None:
        for stock in self.stocks.values():
            for key in stock.partial.keys() - {one.key for one in plan.awaited}:
                stock.stored_bytes -= stock.partial.pop(key).arrived_bytes
        names = {title.title for title in wanted} if plan.evict else set()
        gone = 0
        for eviction in plan.evict:
            stock = self.stocks[eviction.tier]
            header = stock.held.pop(eviction.key)
            stock.stored_bytes -= header.size_bytes
            self._moved.evicted += header.size_bytes
            if f"titles/{eviction.key.partition('/')[0]}" in names:
                gone += header.size_bytes
        self._moved.evicted_wanted += gone
        late = {each.title.title for each in plan.postponed}
        arrives = sum(fetch.take_bytes for fetch in plan.fetch if fetch.title not in late)
        arrives += sum(move.header.size_bytes for move in plan.demote)
        assert not gone or arrives, f"{gone} wanted bytes were let go, and nothing arrives whole"
        self._check_room()
        self._moved.laws += 1

    def _move(self, moves: Sequence[Move]) -> None:
        for move in moves:
            source, target = self.stocks[move.source], self.stocks[move.target]
            target.held.put(source.held.pop(move.header.key))
            source.stored_bytes -= move.header.size_bytes
            target.stored_bytes += move.header.size_bytes
            self._check_room()

    def _fetch(self, plan: FillPlan) -> int:
        is_short = self._rng.random() < _CUT_SHORT
        count = self._rng.randrange(len(plan.fetch) + 1) if is_short else len(plan.fetch)
        come = 0
        for fetch in plan.fetch[:count]:
            stock = self.stocks[fetch.tier]
            stock.stored_bytes += fetch.take_bytes
            before = stock.partial.pop(fetch.wanted.key, Partial(fetch.wanted, 0))
            here = before.arrived_bytes + fetch.take_bytes
            if here == fetch.wanted.size_bytes:
                stock.held.put(fetch.wanted)
            else:
                stock.partial[fetch.wanted.key] = Partial(fetch.wanted, here)
            come += fetch.take_bytes
            self._check_room()
        self._moved.fetched += come
        return come

    def _check_room(self) -> None:
        for tier, stock in self.stocks.items():
            assert stock.stored_bytes <= stock.capacity_bytes, f"{tier.value} is over its capacity"
        self._moved.laws += 1

    def _bill(self, come: int, link: LinkMonth) -> None:
        """The slots of the night in which the bytes came: first those that are free."""
        percentile, rate = self.policy.billed_percentile, self.policy.rate_bits_per_s_max
        if percentile is None or rate is None:
            return
        slot, slot_bytes = len(link.fill) - 1, rate / 8 * 300
        for i in range(headroom(link, percentile).free_slots):
            self._fill[slot + i] = min(come, int(slot_bytes))
            come -= self._fill[slot + i]
        assert come <= 300, f"{come} bytes more than the link's free slots took"
