"""In what pieces bodies are brought into memory, what is known to be there, and what is read ahead.

Positions are bytes of a body. A body is divided into windows; what is known of each is forgotten
after a second. For a hot object of one window that is one comparison a request (`all_until`), for a
larger one a look into a dictionary for each window.
"""

from typing import NamedTuple

# What one wait for a disk brings: 5 ms of a spinning disk beside its 8 ms of seeking, 0.3 ms of flash,
# and at 20 MB/s still 50 ms. Twice as much would double what waits in memory for slow clients.
WINDOW_BYTES = 1024 * 1024
# A range is read with its neighbours to here, so that players of one segment ask for the same piece.
GRAIN_BYTES = 64 * 1024
# How long memory is believed to hold what it held. The kernel evicts what was not used for longer.
KNOWN_S = 1.0
# How many windows of one object are remembered: 4 GiB. The excess is asked for again.
KNOWN_WINDOWS_MAX = 4096
# How far one answer goes, which is what one look at a cold object can cost.
REACH_BYTES = 2 * WINDOW_BYTES
# A reader has one window ahead of the one it sends, and only while so many threads have nothing to
# do: those who wait for their next byte come first.
AHEAD_BYTES = WINDOW_BYTES
AHEAD_IDLE_MIN = 4


class Piece(NamedTuple):
    """What is read at once."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        return self.offset + self.length


# Of no body.
NOTHING = Piece(0, 0)


class KnownPages:
    """What is known to be in memory of one object."""

    __slots__ = ("_known", "all_until", "size_bytes")

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        # Until when all of it may be sent without another look.
        self.all_until = float("-inf")
        # By window: until when, and from where to where.
        self._known: dict[int, tuple[float, int, int]] = {}

    def reach(self, offset: int, now: float) -> int:
        """Up to where it is known, within the window of `offset`; `offset` where it is not."""
        if now < self.all_until:
            return self.size_bytes
        known = self._known.get(offset // WINDOW_BYTES)
        if known is None:
            return offset
        until, first, end = known
        return end if now < until and first <= offset < end else offset

    def note(self, piece: Piece, now: float) -> None:
        """That this piece, of one window, is in memory now."""
        until = now + KNOWN_S
        if piece.length == self.size_bytes:
            self.all_until = until
            return
        if len(self._known) >= KNOWN_WINDOWS_MAX:
            self._known.clear()
        self._known[piece.offset // WINDOW_BYTES] = until, piece.offset, piece.end


def window_at(offset: int, size_bytes: int) -> Piece:
    """The whole window in which `offset` lies."""
    first = offset - offset % WINDOW_BYTES
    return Piece(first, min(WINDOW_BYTES, size_bytes - first))


def piece_at(offset: int, end: int, size_bytes: int) -> Piece:
    """What to read for one who sends from `offset` to `end`: no more than a window, in whole grains."""
    window = window_at(offset, size_bytes)
    first = offset - offset % GRAIN_BYTES
    last = min(window.end, end + -end % GRAIN_BYTES)
    return Piece(first, last - first)


def plan_ahead(offset: int, reach: int, end: int, size_bytes: int, *, idle: int) -> Piece | None:
    """What to read for one who may send from `offset` to `reach` and will want to go on to `end`,
    with so many threads idle; None while it has enough, or others need the disk more."""
    if not offset < reach < end or reach - offset > AHEAD_BYTES or idle < AHEAD_IDLE_MIN:
        return None
    return piece_at(reach, end, size_bytes)
