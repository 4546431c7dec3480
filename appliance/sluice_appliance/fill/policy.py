"""What the operator allows the box to fetch: windows, rates, budgets and priorities, as values."""

from dataclasses import dataclass
from enum import IntEnum

from sluice_appliance.fill.windows import FillWindow


class Priority(IntEnum):
    """How urgent a title is; the greater goes first."""

    NORMAL = 0
    NEW_RELEASE = 1
    # At once, whatever the windows say.
    EMERGENCY = 2


@dataclass(frozen=True, slots=True)
class FillPolicy:
    """None is no limit. Raises ValueError for what is no policy."""

    # None: at any time.
    windows: tuple[FillWindow, ...] = ()
    window_bytes_max: int | None = None
    rate_bits_per_s_max: int | None = None
    # By which the link is billed, 1..100; fill never raises it.
    billed_percentile: int | None = None
    # As a multiple of the flash's capacity.
    drive_writes_per_day: float | None = None
    stop_below_unit_roi: bool = False

    def __post_init__(self) -> None:
        for name in ("window_bytes_max", "rate_bits_per_s_max", "drive_writes_per_day"):
            limit = getattr(self, name)
            if limit is not None and not 0 < limit < float("inf"):
                raise ValueError(f"{name} is {limit}, expected more than 0")
        percentile = self.billed_percentile
        if percentile is not None and not 1 <= percentile <= 100:
            raise ValueError(f"billed_percentile is {percentile}, expected 1..100")


NO_LIMITS = FillPolicy()
