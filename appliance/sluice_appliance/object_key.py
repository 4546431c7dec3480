"""What an object is called: `big-buck-bunny/v3f2a9c01d2e4/h264-720p.mp4`, served at `/` + key."""

import re
from typing import NewType

ObjectKey = NewType("ObjectKey", str)

KEY_CHARS_MAX = 512
_KEY = re.compile(r"[A-Za-z0-9._-]{1,128}(?:/[A-Za-z0-9._-]{1,128}){0,7}")


class InvalidObjectKey(ValueError):
    """The text names no object."""


def parse_key(text: str) -> ObjectKey:
    """1..8 parts joined by `/`, each of 1..128 letters, digits, `.`, `_` and `-`, and neither `.`
    nor `..`; 512 characters at most. Raises InvalidObjectKey."""
    if len(text) > KEY_CHARS_MAX:
        raise InvalidObjectKey(f"an object key of {len(text)} characters, at most {KEY_CHARS_MAX}")
    if not _KEY.fullmatch(text) or not {".", ".."}.isdisjoint(text.split("/")):
        raise InvalidObjectKey(
            f"{text!r} is no object key: 1..8 parts joined by '/', each 1..128 of A-Z a-z 0-9 . _ -,"
            " neither '.' nor '..'"
        )
    return ObjectKey(text)


def title_of(key: str) -> str:
    """What the keys of all objects of a title begin with, whatever its version."""
    return key.partition("/")[0]
