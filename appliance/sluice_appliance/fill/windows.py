"""When the box may fetch: windows of the day, by the clocks of the place.

A window begins and ends at times that clocks on the wall show. So in the night in which clocks go
forward it is shorter by what they leap over, in the night in which they go back it is longer, and a
window of 24 hours leaves no gap in either. Of an hour that comes twice the first is meant.

An opening is the time from where a window begins to where the next begins or none is left; it is what
the budget of a window is for. Two windows that overlap are two openings, one after the other.

Cost: 46 us to place a window on the days around `now` (`tests/simulation/costs.py`, beside other load).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

MINUTES_OF_DAY = 24 * 60
_DAY_S = 86_400
# Where the present opening ends is decided by what begins within a day.
_DAYS_NEAR = 2
# Every weekday is among them twice: in one week the clocks may leap over a window.
_DAYS_AHEAD = 15
# A change of the clocks is found to the second: no place ever changed by more than a day.
_BISECTIONS = 17


@dataclass(frozen=True, slots=True)
class FillWindow:
    """Begins `start_minute` minutes after midnight. Raises ValueError for what no day has."""

    start_minute: int
    duration_minutes: int
    # 1 for Monday to 7 for Sunday; every day where there is none.
    weekdays: frozenset[int] = frozenset()
    zone: tzinfo = UTC

    def __post_init__(self) -> None:
        if not 0 <= self.start_minute < MINUTES_OF_DAY:
            raise ValueError(f"start_minute is {self.start_minute}, expected 0..1439")
        if not 1 <= self.duration_minutes <= MINUTES_OF_DAY:
            raise ValueError(f"duration_minutes is {self.duration_minutes}, expected 1..1440")
        if strange := sorted(day for day in self.weekdays if not 1 <= day <= 7):
            raise ValueError(f"weekday is {strange[0]}, expected 1..7")


@dataclass(frozen=True, slots=True)
class Opening:
    """From `opens_at` until just before `closes_at`, in seconds since 1970."""

    opens_at: float
    closes_at: float


def opening_at(windows: Sequence[FillWindow], now: float) -> Opening | None:
    """The present opening; None while the box must wait. Without windows it is the day, in UTC."""
    if not windows:
        opens_at = now // _DAY_S * _DAY_S
        return Opening(opens_at, opens_at + _DAY_S)
    times = _times(windows, now, _DAYS_NEAR)
    begun = [(opens_at, closes_at) for opens_at, closes_at in times if opens_at <= now]
    closes_at = max((closes_at for _, closes_at in begun), default=now)
    if closes_at <= now:
        return None
    opens_at = max(opens_at for opens_at, _ in begun)
    next_at = min((opens_at for opens_at, _ in times if opens_at > now), default=closes_at)
    return Opening(opens_at, min(closes_at, next_at))


def next_opening_at(windows: Sequence[FillWindow], now: float) -> float:
    """When the next opening begins: always later than now, and within fifteen days."""
    if not windows:
        return now // _DAY_S * _DAY_S + _DAY_S
    return min(opens_at for opens_at, _ in _times(windows, now, _DAYS_AHEAD) if opens_at > now)


def _times(windows: Sequence[FillWindow], now: float, days_ahead: int) -> list[tuple[float, float]]:
    """Every beginning and end, from yesterday's windows on."""
    return [
        (opens_at, closes_at)
        for window in windows
        for opens_at, closes_at in _times_of(window, now, days_ahead)
        # The clocks leapt over the whole of it.
        if closes_at > opens_at
    ]


def _times_of(window: FillWindow, now: float, days_ahead: int) -> Iterator[tuple[float, float]]:
    today = datetime.fromtimestamp(now, window.zone).replace(
        hour=0, minute=0, second=0, microsecond=0, tzinfo=None
    )
    for days in range(-1, days_ahead + 1):
        day = today + timedelta(days=days)
        if window.weekdays and day.isoweekday() not in window.weekdays:
            continue
        begins = day + timedelta(minutes=window.start_minute)
        ends = begins + timedelta(minutes=window.duration_minutes)
        yield _instant(begins, window.zone), _instant(ends, window.zone)


def _instant(wall: datetime, zone: tzinfo) -> float:
    """When clocks there show `wall`, the first time; if they leap over it, when they leap."""
    # A wall time that is leapt over is later by the offset before the leap than by the one after.
    late = wall.replace(tzinfo=zone, fold=0).timestamp()
    early = wall.replace(tzinfo=zone, fold=1).timestamp()
    if early >= late:
        return late
    before = _offset(early, zone)
    for _ in range(_BISECTIONS):
        middle = (early + late) // 2
        early, late = (middle, late) if _offset(middle, zone) == before else (early, middle)
    return late


def _offset(at: float, zone: tzinfo) -> timedelta | None:
    return datetime.fromtimestamp(at, zone).utcoffset()
