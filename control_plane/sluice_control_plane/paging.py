"""Pages of a list (AIP-158): how long one is and where the next begins. Pure.

A page token is opaque to callers: base64 of the list's name and the key after which the next page
begins, so that a token of one list, or of one filter, is refused by another.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from sluice_control_plane.errors import InvalidRequest
from sluice_control_plane.resource_names import shown

T = TypeVar("T")

PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1000
_TOKEN_CHARACTERS_MAX = 2048


@dataclass(frozen=True, slots=True)
class Page:
    """What a list was asked for: at most `size` rows whose key is greater than `after`."""

    listing: str
    size: int
    # Empty on the first page; parts in order of sorting.
    after: tuple[str, ...]

    def rows_to_read(self) -> int:
        """One more than the page, to know whether there is another."""
        return self.size + 1

    def cut(self, rows: Sequence[T]) -> tuple[Sequence[T], bool]:
        """The rows of this page, and whether another follows."""
        return rows[: self.size], len(rows) > self.size

    def next_token(self, *key: str) -> str:
        """The token of the page after the row of `key`."""
        text = json.dumps([self.listing, *key], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode()


def page_of(listing: str, page_size: int, page_token: str, *, parts: int = 1) -> Page:
    """Raises InvalidRequest for a negative size or a token that is not one of this listing's."""
    if page_size < 0:
        raise InvalidRequest(f"page_size is {page_size}, expected 0..{PAGE_SIZE_MAX}")
    size = min(page_size, PAGE_SIZE_MAX) or PAGE_SIZE_DEFAULT
    if not page_token:
        return Page(listing, size, ())
    found = _decoded(page_token)
    if found is None or len(found) != parts + 1 or found[0] != listing:
        raise InvalidRequest(f"page_token is {shown(page_token)}, expected one of this list")
    return Page(listing, size, tuple(found[1:]))


def _decoded(token: str) -> list[str] | None:
    if len(token) > _TOKEN_CHARACTERS_MAX:
        return None
    try:
        found = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return None
    if not isinstance(found, list) or not all(isinstance(part, str) for part in found):
        return None
    return found
