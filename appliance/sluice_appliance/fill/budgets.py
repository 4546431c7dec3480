"""How much may come now: windows, budgets and the link's bill, made into a few numbers for the plan.

Each budget says what is left now, and what it is when it is whole. The plan needs both: what does not
fit what is left, and would fit a whole one, waits for it; what fits no whole one comes in parts.
"""

from dataclasses import dataclass
from enum import Enum
from math import ceil, inf

from sluice_appliance.fill.percentile import SLOT_S, Headroom, LinkMonth, bytes_until, headroom
from sluice_appliance.fill.policy import FillPolicy
from sluice_appliance.fill.windows import Opening, opening_at

# What is urgent is planned for so long at a time.
URGENT_HORIZON_S = 86_400.0


class Wait(Enum):
    """What keeps a title from coming now; a label of counters."""

    # No window is open.
    WINDOW = "window"
    # What the window, the rate or the link's bill allow is used up.
    BUDGET = "budget"
    # Flash was written as much as it may be in a day.
    FLASH = "flash"
    # Filling does not pay here.
    ROI = "roi"
    # Nothing may be let go for it before it can come.
    ROOM = "room"


@dataclass(frozen=True, slots=True)
class Budget:
    """Bytes; infinite where there is no limit."""

    left_bytes: float = inf
    whole_bytes: float = inf


NO_LIMIT = Budget()


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a plan may bring."""

    # To be shared by all; what is urgent takes only of this.
    urgent: Budget = NO_LIMIT
    # What is not urgent takes of this too.
    normal: Budget = NO_LIMIT
    # What is written to flash takes of this as well.
    flash: Budget = NO_LIMIT
    # Why `normal` has nothing left, if it has not.
    wait: Wait = Wait.BUDGET
    # Whether titles of normal priority may come.
    is_proactive: bool = True
    # What all may take without a dearer bill for the link. What is urgent passes it, and the plan says by
    # how much.
    unbilled_bytes: float = inf


EVERYTHING = Allowance()


@dataclass(frozen=True, slots=True)
class WindowLedger:
    """What has come in one opening; kept over restarts as it is."""

    opens_at: float = -inf
    taken_bytes: int = 0

    def taken_in(self, opening: Opening) -> int:
        """Another opening than the one that was written down has its whole budget."""
        return self.taken_bytes if self.opens_at == opening.opens_at else 0

    def after(self, size_bytes: int, opening: Opening | None) -> "WindowLedger":
        """So many bytes more; outside of every window nothing is counted."""
        if opening is None:
            return self
        return WindowLedger(opening.opens_at, self.taken_in(opening) + size_bytes)


def allowance(
    policy: FillPolicy,
    now: float,
    *,
    ledger: WindowLedger = WindowLedger(),
    link: LinkMonth | None = None,
    flash: Budget = NO_LIMIT,
    is_stopped: bool = False,
) -> Allowance:
    """What may come by the policy. `link` is needed where a percentile is billed; without it nothing
    is known of the bill, and only what is urgent comes. `is_stopped`: filling does not pay."""
    opening = opening_at(policy.windows, now)
    bound = _LinkBound(policy, link)
    urgent = bound.capped_in(URGENT_HORIZON_S)
    horizon_s = URGENT_HORIZON_S if opening is None else opening.closes_at - now
    return Allowance(
        urgent=Budget(urgent, urgent),
        normal=Budget(0, 0) if opening is None else _opened(policy, now, opening, ledger, bound),
        flash=flash,
        wait=Wait.WINDOW if opening is None else Wait.BUDGET,
        is_proactive=not (is_stopped and policy.stop_below_unit_roi),
        unbilled_bytes=inf if policy.billed_percentile is None else bound.bytes_in(horizon_s),
    )


def flash_budget(policy: FillPolicy, *, capacity_bytes: int, written_bytes: int) -> Budget:
    """`capacity_bytes` of all flash, `written_bytes` in the last 24 hours."""
    if policy.drive_writes_per_day is None:
        return NO_LIMIT
    whole = policy.drive_writes_per_day * capacity_bytes
    return Budget(max(0.0, whole - written_bytes), whole)


class _LinkBound:
    """What the rate and the bill allow."""

    def __init__(self, policy: FillPolicy, link: LinkMonth | None) -> None:
        cap = policy.rate_bits_per_s_max
        self._rate = inf if cap is None else cap / 8
        self._link = link
        self._is_billed = policy.billed_percentile is not None
        self._room = Headroom(0, 0, 0)
        if link is not None and policy.billed_percentile is not None:
            self._room = headroom(link, policy.billed_percentile)

    def capped_in(self, for_s: float) -> float:
        return self._rate * for_s

    def bytes_in(self, for_s: float) -> float:
        capped = self.capped_in(for_s)
        if not self._is_billed:
            return capped
        if self._link is None:
            return 0
        slots = ceil(for_s / SLOT_S)
        room, rate = self._room, self._rate
        return min(capped, bytes_until(self._link, room, slots=slots, rate_bytes_per_s=rate))


def _opened(
    policy: FillPolicy, now: float, opening: Opening, ledger: WindowLedger, bound: _LinkBound
) -> Budget:
    most = inf if policy.window_bytes_max is None else policy.window_bytes_max
    left = min(most - ledger.taken_in(opening), bound.bytes_in(opening.closes_at - now))
    whole = min(most, bound.bytes_in(opening.closes_at - opening.opens_at))
    left = max(0, left)
    return Budget(left, max(left, whole))
