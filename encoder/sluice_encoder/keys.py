"""Names: what a title may be called, and which paths are objects of the origin."""

import re
from typing import NewType

ObjectKey = NewType("ObjectKey", str)

_ID = re.compile(r"[a-z0-9-]{1,63}")
_PART = re.compile(r"[A-Za-z0-9._-]{1,128}")
KEY_CHARACTERS_MAX = 512
KEY_PARTS_MAX = 8


def title_id(text: str) -> str:
    """Raises ValueError for what no title may be called."""
    if not _ID.fullmatch(text):
        raise ValueError(
            f"title id {text!r}: expected 1..63 lower-case letters, digits and hyphens"
        )
    return text


def object_key(text: str) -> ObjectKey:
    """Raises ValueError for what is no object key."""
    parts = text.split("/")
    if len(text) > KEY_CHARACTERS_MAX or len(parts) > KEY_PARTS_MAX:
        raise ValueError(
            f"key of {len(parts)} parts and {len(text)} characters, "
            f"expected at most {KEY_PARTS_MAX} and {KEY_CHARACTERS_MAX}"
        )
    for part in parts:
        if not _PART.fullmatch(part) or part in (".", ".."):
            raise ValueError(f"key part {part!r}: expected 1..128 of letters, digits and ._-")
    return ObjectKey(text)
