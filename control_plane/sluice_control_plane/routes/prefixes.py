"""Decides which prefixes a site may announce, and in which order prefixes stand. Pure."""

from collections.abc import Iterable

from sluice_control_plane.errors import InvalidRequest
from sluice_control_plane.resource_names import shown
from sluice_control_plane.steering.routes import Prefix, RouteRefused, parse_prefix

# The whole internet's table is under a million and a half; one site announces a part of it.
ROUTES_PER_SITE_MAX = 1_000_000
_PREFIX_CHARACTERS_MAX = 64


def check_prefixes(texts: Iterable[str]) -> list[Prefix]:
    """The prefixes in order, each once. Raises InvalidRequest naming the one that is wrong."""
    found = sorted({_prefix(text) for text in texts})
    if len(found) > ROUTES_PER_SITE_MAX:
        raise InvalidRequest(f"{len(found)} prefixes, expected at most {ROUTES_PER_SITE_MAX}")
    return found


def sort_key(prefix: Prefix) -> str:
    """Family, address and length as text whose order is the order of prefixes."""
    return f"{prefix.family}/{prefix.start:016x}/{prefix.length:02d}"


def prefix_of(key: str) -> Prefix:
    """The prefix of a sort key."""
    family, start, length = key.split("/")
    return Prefix(int(family), int(start, 16), int(length))


def _prefix(text: str) -> Prefix:
    if len(text) > _PREFIX_CHARACTERS_MAX:
        raise InvalidRequest(f"prefix is {shown(text)}, expected such as 10.1.0.0/16")
    try:
        return parse_prefix(text)
    except RouteRefused as error:
        raise InvalidRequest(f"prefix {error}") from None
