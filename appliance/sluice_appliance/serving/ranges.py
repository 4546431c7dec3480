"""Which bytes a Range field asks for (RFC 9110, section 14), over plain values."""

import re
from enum import Enum

_INT_RANGE = re.compile(rb"(?P<first>[0-9]+)-(?P<last>[0-9]*)")
_SUFFIX_RANGE = re.compile(rb"-(?P<length>[0-9]+)")
# Longer numbers are beyond any object (sizes are below 2^63) and slow to convert.
_DIGITS_MAX = 19


class NoRange(Enum):
    """Why there is no single range to send."""

    # RFC 9110, 14.2: "A server MAY ignore the Range header field"; it must for what it cannot parse.
    WHOLE = "send the whole object"
    UNSATISFIABLE = "no byte of the object is in the range"


def read_range(field: bytes, size_bytes: int) -> tuple[int, int] | NoRange:
    """(offset, length) of the one range that `field` names within an object of `size_bytes`.

    Other units, malformed sets and sets of several ranges are answered with the whole object.
    """
    unit, equals, spec = field.partition(b"=")
    spec = spec.strip(b" \t")
    if not equals or unit.strip(b" \t").lower() != b"bytes":
        return NoRange.WHOLE
    if found := _INT_RANGE.fullmatch(spec):
        return _int_range(found["first"], found["last"], size_bytes)
    if found := _SUFFIX_RANGE.fullmatch(spec):
        return _suffix_range(_number(found["length"]), size_bytes)
    return NoRange.WHOLE


def _int_range(
    first_digits: bytes, last_digits: bytes, size_bytes: int
) -> tuple[int, int] | NoRange:
    first = _number(first_digits)
    last = _number(last_digits) if last_digits else max(first, size_bytes - 1)
    if last < first:
        # "An int-range is invalid if the last-pos value is present and less than first-pos."
        return NoRange.WHOLE
    if first >= size_bytes:
        return NoRange.UNSATISFIABLE
    return first, min(last, size_bytes - 1) - first + 1


def _suffix_range(length: int, size_bytes: int) -> tuple[int, int] | NoRange:
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
