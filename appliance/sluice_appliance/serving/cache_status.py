"""What an answer says of how it came about: `Cache-Status` (RFC 9211) and `Server-Timing`.

Both are whole header lines. A worker builds its Cache-Status lines once; a timing costs a microsecond.
"""

import re
from enum import Enum

# RFC 8941, 3.3.4 and 3.3.3.
_TOKEN = re.compile(r"[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*")
_STRING = re.compile(r"[ -~]+")


class Outcome(Enum):
    """How a request ended here, as the parameters of RFC 9211 that say so."""

    MEMORY = "hit"
    DISK = "hit; detail=disk"
    # Brought in for this request, or while it waited.
    FILL = "fwd=miss; detail=fill"
    # No source of it could be read.
    UNREACHABLE = "fwd=miss; detail=unreachable"
    # Nobody else was asked for these, or none has it.
    ABSENT = "detail=absent"
    SHED = "detail=shed"
    LOOP = "detail=loop"
    FORBIDDEN = "detail=forbidden"
    STORAGE = "detail=storage"
    REFUSED = "detail=refused"

    @property
    def waited_for(self) -> bytes:
        """What a request that waited and ended so waited for."""
        elsewhere = self in (Outcome.FILL, Outcome.UNREACHABLE)
        return b"fill" if elsewhere else b"disk"


def cache_status_field(name: str, outcome: Outcome) -> bytes:
    """The line by which the cache `name` says how a request ended. Raises ValueError for a name that
    no structured field can carry."""
    return f"Cache-Status: {_item(name)}; {outcome.value}\r\n".encode("ascii")


def server_timing_field(name: bytes, duration_ms: float) -> bytes:
    """The line that shows a page how long `name`, a token, took."""
    return b"Server-Timing: %b;dur=%.1f\r\n" % (name, duration_ms)


def _item(name: str) -> str:
    if _TOKEN.fullmatch(name):
        return name
    if not _STRING.fullmatch(name):
        raise ValueError(f"the cache's name is {name!r}, expected printable ASCII")
    return '"{}"'.format(name.replace("\\", "\\\\").replace('"', '\\"'))
