"""Which bytes a Range field asks for (RFC 9110, section 14), over plain values."""

import re
from enum import Enum

# RFC 9110, 17.15: servers "ought to ignore, coalesce, or reject egregious range requests". Parts that
# touch are made one, so that no set asks for a byte twice; a player asks for one or two, a reader of
# archives for a handful.
PARTS_MAX = 16
# Asked for in one field; more are not looked at, for each costs about a microsecond.
RANGES_MAX = 64

# As players write it; the careful way comes to the same.
_USUAL = re.compile(rb"bytes=([0-9]{1,18})-([0-9]{1,18})")
_FROM = re.compile(rb"bytes=([0-9]{1,18})-([0-9]{0,18})")
_INT_RANGE = re.compile(rb"([0-9]+)-([0-9]*)")
_SUFFIX_RANGE = re.compile(rb"-([0-9]+)")
# Longer numbers are beyond any object (sizes are below 2^63) and slow to convert.
_DIGITS_MAX = 19

# No object is as large.
BEYOND_ANY = 10**18

# (offset, length), of one byte at least.
Span = tuple[int, int]


class NoRange(Enum):
    """Why no range is sent."""

    # RFC 9110, 14.2: "A server MAY ignore the Range header field"; it must for units it does not know.
    WHOLE = "send the whole object"
    UNSATISFIABLE = "no byte of the object is in the range"
    # The whole object would reward who asks absurdly: gigabytes for a line. 416 is the status of "an
    # excessive request of small or overlapping ranges" (RFC 9110, 15.5.17).
    TOO_MANY = "more ranges than are sent"


def read_ranges(field: bytes, size_bytes: int) -> tuple[Span, ...] | NoRange:
    """The parts that `field` names of an object of `size_bytes`, in the order they were asked for; those
    that overlap or touch are one part, at the place of the first.

    Other units and malformed sets are answered with the whole object.
    """
    if usual := _USUAL.fullmatch(field):
        first, last = int(usual[1]), int(usual[2])
        if first <= last < size_bytes:
            return ((first, last - first + 1),)
    return _read_carefully(field, size_bytes)


def asked_at_least(field: bytes) -> tuple[int, int] | None:
    """From where to where (the latter `BEYOND_ANY` where the field leaves it open) bytes are asked for,
    whatever the object's size is; None where that cannot be said."""
    found = _FROM.fullmatch(field)
    if found is None:
        return None
    first, last = int(found[1]), int(found[2] or BEYOND_ANY)
    return (first, last + 1) if first <= last else None


def _read_carefully(field: bytes, size_bytes: int) -> tuple[Span, ...] | NoRange:
    unit, equals, specs = field.partition(b"=")
    if not equals or unit.strip(b" \t").lower() != b"bytes":
        return NoRange.WHOLE
    if b"," in specs:
        return _read_set(specs.split(b",", RANGES_MAX), size_bytes)
    found = _read_range(specs.strip(b" \t"), size_bytes)
    return found if isinstance(found, NoRange) else (found,)


def _read_set(specs: list[bytes], size_bytes: int) -> tuple[Span, ...] | NoRange:
    if len(specs) > RANGES_MAX:
        return NoRange.TOO_MANY
    # RFC 9110, 5.6.1.2: "a recipient MUST parse and ignore a reasonable number of empty list elements".
    found = [_read_range(spec, size_bytes) for each in specs if (spec := each.strip(b" \t"))]
    if NoRange.WHOLE in found or not found:
        return NoRange.WHOLE
    parts = _coalesce([span for span in found if not isinstance(span, NoRange)])
    if len(parts) > PARTS_MAX:
        return NoRange.TOO_MANY
    return parts or NoRange.UNSATISFIABLE


def _coalesce(spans: list[Span]) -> tuple[Span, ...]:
    merged: list[tuple[int, int, int]] = []
    for place, (offset, length) in sorted(enumerate(spans), key=lambda each: each[1]):
        end = offset + length
        if merged and offset <= merged[-1][2]:
            first_place, start, reached = merged[-1]
            merged[-1] = (min(first_place, place), start, max(reached, end))
        else:
            merged.append((place, offset, end))
    return tuple((offset, end - offset) for _, offset, end in sorted(merged))


def _read_range(spec: bytes, size_bytes: int) -> Span | NoRange:
    if found := _INT_RANGE.fullmatch(spec):
        return _int_range(found[1], found[2], size_bytes)
    if found := _SUFFIX_RANGE.fullmatch(spec):
        return _suffix_range(_number(found[1]), size_bytes)
    return NoRange.WHOLE


def _int_range(first_digits: bytes, last_digits: bytes, size_bytes: int) -> Span | NoRange:
    first = _number(first_digits)
    last = _number(last_digits) if last_digits else max(first, size_bytes - 1)
    if last < first:
        # "An int-range is invalid if the last-pos value is present and less than first-pos."
        return NoRange.WHOLE
    if first >= size_bytes:
        return NoRange.UNSATISFIABLE
    return first, min(last, size_bytes - 1) - first + 1


def _suffix_range(length: int, size_bytes: int) -> Span | NoRange:
    if length == 0:
        return NoRange.UNSATISFIABLE
    if size_bytes == 0:
        # Satisfiable by the letter, but Content-Range cannot say an empty range.
        return NoRange.WHOLE
    length = min(length, size_bytes)
    return size_bytes - length, length


def _number(digits: bytes) -> int:
    digits = digits.lstrip(b"0")
    return int(digits or b"0") if len(digits) <= _DIGITS_MAX else 10**_DIGITS_MAX
