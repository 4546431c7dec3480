"""Domain names: labels in lower case on our side, length-prefixed bytes on the wire (RFC 1035 3.1)."""

import re

from sluice_dns.protocol import LABEL_BYTES_MAX, NAME_BYTES_MAX

# A name as its labels, first label first, without the root.
Labels = tuple[bytes, ...]

_LABEL = re.compile(rb"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")


class MalformedName(ValueError):
    """Not a name: a label too long, a name too long, or bytes that end too early."""


def from_text(text: str) -> Labels:
    """Labels of a host name in lower case such as `v.sluice.test`. Raises MalformedName."""
    try:
        labels = tuple(text.encode("ascii").split(b"."))
    except UnicodeEncodeError:
        raise MalformedName(f"{text!r} is not ASCII") from None
    for label in labels:
        if not _LABEL.fullmatch(label):
            raise MalformedName(f"{text!r} is not a host name in lower case without the last dot")
    if len(to_wire(labels)) > NAME_BYTES_MAX:
        raise MalformedName(f"{text!r} has more than {NAME_BYTES_MAX} bytes")
    return labels


def to_wire(labels: Labels) -> bytes:
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def to_text(labels: Labels) -> str:
    return b".".join(labels).decode("ascii", "backslashreplace") or "."


def read(data: bytes, at: int) -> tuple[Labels, int]:
    """The uncompressed name at `at`, in lower case, and where it ends. Raises MalformedName."""
    labels: list[bytes] = []
    start = at
    while at < len(data):
        length = data[at]
        if length > LABEL_BYTES_MAX:
            # A compression pointer has nothing before it to point at in a question.
            raise MalformedName(f"label length {length} at byte {at}")
        if at + 1 + length - start > NAME_BYTES_MAX:
            raise MalformedName(f"more than {NAME_BYTES_MAX} bytes")
        if length == 0:
            return tuple(labels), at + 1
        labels.append(data[at + 1 : at + 1 + length].lower())
        at += 1 + length
    raise MalformedName(f"the bytes end inside a name that starts at byte {start}")


def skip(data: bytes, at: int) -> int:
    """Where the name at `at` ends; it may end in a pointer, which is not followed."""
    while at < len(data):
        length = data[at]
        if length >= 0xC0:
            return at + 2
        if length > LABEL_BYTES_MAX:
            raise MalformedName(f"label length {length} at byte {at}")
        at += 1 + length
        if length == 0:
            return at
    raise MalformedName("the bytes end inside a name")


def is_under(labels: Labels, zone: Labels) -> bool:
    """Whether `labels` is `zone` or stands below it."""
    return labels[len(labels) - len(zone) :] == zone if len(labels) >= len(zone) else False
