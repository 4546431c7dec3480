"""Reads and writes a fill window as people say it: `02:00-14:00`, `sat,sun 22:00-06:00`. Pure."""

import re
from dataclasses import dataclass

from sluice_cli.errors import BadArgument

DAY_MINUTES = 1440
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_WINDOW = re.compile(r"(?:(?P<days>[a-z,]+) )?(?P<begin>\d\d:\d\d)-(?P<end>\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Window:
    """`weekdays` are those on which it begins, 1 for Monday; every day where there is none."""

    start_minute: int
    duration_minutes: int
    weekdays: tuple[int, ...] = ()


def parse_window(text: str) -> Window:
    """An end that is not after the begin is on the next day. Raises BadArgument."""
    match = _WINDOW.fullmatch(text.strip().lower())
    if match is None:
        raise BadArgument(f"the window {text!r} is none; write 02:00-14:00, or sat,sun 22:00-06:00")
    begin, end = _minute(match["begin"], text), _minute(match["end"], text)
    if begin == DAY_MINUTES:
        raise BadArgument(f"the window {text!r} begins at 24:00; write 00:00")
    days = match["days"].split(",") if match["days"] else []
    for day in days:
        if day not in WEEKDAYS or days.count(day) > 1:
            raise BadArgument(
                f"the window {text!r} has the day {day!r}; write each once: {', '.join(WEEKDAYS)}"
            )
    duration = end - begin if end > begin else end - begin + DAY_MINUTES
    return Window(begin, duration, tuple(WEEKDAYS.index(day) + 1 for day in days))


def window_text(window: Window) -> str:
    """As `parse_window` reads it."""
    end = window.start_minute + window.duration_minutes
    # The whole day ends at 24:00; any other end after midnight is told by the next day's clock.
    end = end if end <= DAY_MINUTES else end - DAY_MINUTES
    days = ",".join(WEEKDAYS[day - 1] for day in window.weekdays)
    return f"{days + ' ' if days else ''}{_clock(window.start_minute)}-{_clock(end)}"


def _minute(clock: str, text: str) -> int:
    hours, minutes = int(clock[:2]), int(clock[3:])
    if hours > 24 or minutes > 59 or (hours == 24 and minutes):
        raise BadArgument(f"the window {text!r} has {clock}, expected 00:00..24:00")
    return 60 * hours + minutes


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
