"""Resource names, ids and request ids: which text is one, decided in one place. Pure."""

import re
import uuid

from sluice_control_plane.errors import InvalidRequest

# A DNS label (RFC 1035 2.3.1, digits first allowed by RFC 1123), because a site's id is one.
_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_SHOWN_CHARACTERS = 80
DISPLAY_NAME_CHARACTERS_MAX = 200


def check_id(value: str, field: str) -> str:
    """Returns `value`. Raises InvalidRequest unless it is lower-case letters, digits and hyphens."""
    if not _ID.fullmatch(value):
        raise InvalidRequest(
            f"{field} is {shown(value)}, expected 1..63 lower-case letters, digits and hyphens, "
            "neither first nor last a hyphen"
        )
    return value


def id_in(name: str, collection: str, field: str) -> str:
    """The id in a name such as `sites/site-a`. Raises InvalidRequest for anything else."""
    head, slash, tail = name.partition("/")
    if head != collection or not slash or not _ID.fullmatch(tail):
        raise InvalidRequest(f"{field} is {shown(name)}, expected {collection}/ID")
    return tail


def check_request_id(value: str) -> str:
    """Returns the UUID in its usual form, or the empty string. Raises InvalidRequest."""
    if not value:
        return ""
    try:
        return str(uuid.UUID(value))
    except ValueError:
        raise InvalidRequest(f"request_id is {shown(value)}, expected a UUID") from None


def check_display_name(value: str, field: str = "display_name") -> str:
    """Returns `value`. Raises InvalidRequest where it is too long for a page or has control characters."""
    if len(value) > DISPLAY_NAME_CHARACTERS_MAX:
        raise InvalidRequest(
            f"{field} has {len(value)} characters, expected at most {DISPLAY_NAME_CHARACTERS_MAX}"
        )
    if not value.isprintable():
        raise InvalidRequest(f"{field} is {shown(value)}, expected printable text")
    return value


def shown(value: str) -> str:
    """Quoted, and cut where it is long: a peer's text in a message of ours."""
    if len(value) > _SHOWN_CHARACTERS:
        return f"{value[:_SHOWN_CHARACTERS]!r}... ({len(value)} characters)"
    return repr(value)
