"""Decides which id a title gets from its name. Pure."""

import re

ID_LENGTH_MAX = 63
_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def title_id_of(name: str) -> str:
    """`Big Buck Bunny` is `big-buck-bunny`; the empty string for a name without a letter or digit."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return plain[:ID_LENGTH_MAX].rstrip("-")


def is_title_id(text: str) -> bool:
    """Lower-case letters, digits and hyphens, 1..63, no hyphen at an end."""
    return _ID.fullmatch(text) is not None


def bare_id(text: str, collection: str) -> str:
    """`titles/x` and `x` are both `x`, so that what a list shows can be typed back."""
    return text.removeprefix(f"{collection}/")
