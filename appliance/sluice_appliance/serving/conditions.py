"""Whether a request's preconditions let it be answered (RFC 9110, 13), over plain values."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from enum import Enum

# The fields that `weigh` looks at.
CONDITIONS = frozenset(
    (b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since")
)

_MONTHS = {
    name: number
    for number, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)
}
_TIME = rb"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_SHORT_DAY = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAY = rb"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
# RFC 9110, 5.6.7: "A recipient that parses a timestamp value in an HTTP field MUST accept all three".
_DATES = tuple(
    re.compile(form)
    for form in (
        _SHORT_DAY
        + rb", (?P<day>[0-9]{2}) (?P<month>\w{3}) (?P<year>[0-9]{4}) "
        + _TIME
        + rb" GMT",
        _LONG_DAY + rb", (?P<day>[0-9]{2})-(?P<month>\w{3})-(?P<year>[0-9]{2}) " + _TIME + rb" GMT",
        _SHORT_DAY + rb" (?P<month>\w{3}) (?P<day>[0-9 ][0-9]) " + _TIME + rb" (?P<year>[0-9]{4})",
    )
)


class Verdict(Enum):
    PROCEED = "answer as if there were no condition"
    NOT_MODIFIED = "304: the client has it"
    FAILED = "412: the client means another"


def weigh(fields: Mapping[bytes, bytes], etag: bytes, modified: int) -> Verdict:
    """The preconditions of a GET or HEAD in the order of RFC 9110, 13.2.2. `modified` is the object's
    Last-Modified in Unix seconds, 0 where it is not known: conditions on it are then ignored (13.1.3,
    13.1.4), as are dates that are none."""
    if (match := fields.get(b"if-match")) is not None:
        if not _names(match, etag, weak=False):
            return Verdict.FAILED
    elif _is_later(modified, fields.get(b"if-unmodified-since")) is True:
        return Verdict.FAILED
    if (none_match := fields.get(b"if-none-match")) is not None:
        if _names(none_match, etag, weak=True):
            return Verdict.NOT_MODIFIED
    elif _is_later(modified, fields.get(b"if-modified-since")) is False:
        return Verdict.NOT_MODIFIED
    return Verdict.PROCEED


def is_same(if_range: bytes, etag: bytes) -> bool:
    """Whether If-Range lets a part be sent: only the very same strong tag does (RFC 9110, 13.1.5).
    A date never does: the same second does not show the same bytes (8.8.2.2)."""
    return if_range.strip(b" \t") == etag


def _names(condition: bytes, etag: bytes, *, weak: bool) -> bool:
    """Whether `*` or a list of entity tags names `etag` (RFC 9110, 8.8.3.2)."""
    tags = [tag.strip(b" \t") for tag in condition.split(b",")]
    return tags == [b"*"] or etag in tags or (weak and b"W/" + etag in tags)


def _is_later(modified: int, field: bytes | None) -> bool | None:
    """Whether the object is younger than a field's date; None where there is nothing to compare."""
    if field is None or modified == 0:
        return None
    date = read_date(field, near=modified)
    return None if date is None else modified > date


def write_date(seconds: int) -> bytes:
    """An IMF-fixdate."""
    return formatdate(seconds, usegmt=True).encode()


def read_date(text: bytes, *, near: int) -> int | None:
    """Unix seconds of an HTTP-date in any of its three forms, None for anything else.

    A year of two digits is the one less than 50 years after `near` and not more than 50 before:
    RFC 9110, 5.6.7 counts from now, and nothing here knows when that is.
    """
    text = text.strip(b" \t")
    found = next((match for form in _DATES if (match := form.fullmatch(text))), None)
    if found is None or found["month"] not in _MONTHS:
        return None
    year = int(found["year"])
    if len(found["year"]) == 2:
        around = datetime.fromtimestamp(near, UTC).year
        year += around - around % 100
        year += 100 * ((year < around - 50) - (year >= around + 50))
    day, hour, minute, second = (int(found[part]) for part in ("day", "hour", "minute", "second"))
    try:
        # A leap second, which the grammar allows, is the last one of its minute here.
        when = datetime(
            year, _MONTHS[found["month"]], day, hour, minute, min(second, 59), tzinfo=UTC
        )
    except ValueError:
        return None
    return int(when.timestamp()) if second <= 60 else None
