"""Decides whether a policy of fill is one, who may set it, and how urgent a title is. Pure."""

import math
import zoneinfo

from sluice.content.v1 import content_pb2
from sluice.fill.v1 import fill_pb2
from sluice_control_plane.errors import InvalidRequest, NotAllowed
from sluice_control_plane.resource_names import shown

# A week of two windows a day and some more.
WINDOWS_MAX = 32
DAY_MINUTES = 1440
RATE_BITS_PER_S_MAX = 10**13
WINDOW_BYTES_MAX = 1 << 50
# Below the median nobody bills.
BILLED_PERCENTILE_MIN = 50
DRIVE_WRITES_PER_DAY_MAX = 100.0
ZONE_CHARACTERS_MAX = 64

_EMERGENCY = fill_pb2.FILL_PRIORITY_EMERGENCY
_NEW_RELEASE = fill_pb2.FILL_PRIORITY_NEW_RELEASE
_NORMAL = fill_pb2.FILL_PRIORITY_NORMAL
_BY_AGE = fill_pb2.FILL_PRIORITY_UNSPECIFIED


def check_policy(policy: fill_pb2.FillPolicy) -> None:
    """Raises InvalidRequest."""
    if len(policy.windows) > WINDOWS_MAX:
        raise InvalidRequest(f"{len(policy.windows)} windows, expected at most {WINDOWS_MAX}")
    for index, window in enumerate(policy.windows):
        _check_window(f"windows[{index}]", window)
    _check_range("window_bytes_max", policy.window_bytes_max, WINDOW_BYTES_MAX)
    _check_range("rate_bits_per_s_max", policy.rate_bits_per_s_max, RATE_BITS_PER_S_MAX)
    if policy.billed_percentile and not BILLED_PERCENTILE_MIN <= policy.billed_percentile <= 100:
        raise InvalidRequest(
            f"billed_percentile is {policy.billed_percentile}, expected {BILLED_PERCENTILE_MIN}..100, "
            "or 0 for none"
        )
    _check_range("drive_writes_per_day", policy.drive_writes_per_day, DRIVE_WRITES_PER_DAY_MAX)


def check_flash(asked: float, allowed: float) -> None:
    """Raises NotAllowed where a partner asks for more writes to flash than the operator allows; 0 stands
    for no limit on either side."""
    if allowed and not 0 < asked <= allowed:
        raise NotAllowed(
            f"drive_writes_per_day is {asked:g}{' (no limit)' if not asked else ''}, the operator "
            f"allows {allowed:g} at most"
        )


def check_priority(priority: int) -> None:
    """Raises InvalidRequest for one that is newer than this program."""
    if priority not in fill_pb2.FillPriority.values():
        raise InvalidRequest(f"priority is {priority}, expected one of FillPriority")


def priority_of(
    title: content_pb2.Title, *, new_release_s: float, now: float
) -> fill_pb2.FillPriority.ValueType:
    """What its manifests say: as the operator set it, else by age. `now` is in seconds since 1970."""
    if title.priority != _BY_AGE:
        return title.priority
    age_s = now - title.create_time.ToMicroseconds() / 1e6
    return _NEW_RELEASE if age_s < new_release_s else _NORMAL


def _check_window(name: str, window: fill_pb2.FillWindow) -> None:
    if window.start_minute >= DAY_MINUTES:
        raise InvalidRequest(
            f"{name}.start_minute is {window.start_minute}, expected 0..{DAY_MINUTES - 1}"
        )
    if not 1 <= window.duration_minutes <= DAY_MINUTES:
        raise InvalidRequest(
            f"{name}.duration_minutes is {window.duration_minutes}, expected 1..{DAY_MINUTES}"
        )
    for day in window.weekdays:
        if not 1 <= day <= 7:
            raise InvalidRequest(f"{name}.weekdays has {day}, expected 1 (Monday) to 7 (Sunday)")
    if len(set(window.weekdays)) != len(window.weekdays):
        raise InvalidRequest(f"{name}.weekdays has a day twice")
    if window.time_zone and not _is_zone(window.time_zone):
        raise InvalidRequest(
            f"{name}.time_zone is {shown(window.time_zone)}, expected an IANA time zone such as "
            "Europe/Madrid"
        )


def _is_zone(name: str) -> bool:
    if len(name) > ZONE_CHARACTERS_MAX:
        return False
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _check_range(field: str, value: float, most: float) -> None:
    if not math.isfinite(value) or not 0 <= value <= most:
        raise InvalidRequest(f"{field} is {value:g}, expected 0 (no limit) or up to {most:g}")
