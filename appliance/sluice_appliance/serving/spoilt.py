"""Copies of objects that their disk does not give: looked for last for a while, and told to who owns the store.

A response that was begun from one goes on from another copy at the same byte, where there is another.
"""

import errno
from collections.abc import Callable, Sequence

from sluice_appliance.serving import tally

# What a file's side says; all else is a client's, or the machine's.
DISK_ERRORS = frozenset((errno.EIO, errno.ESTALE, errno.ENODATA, errno.EBADMSG, errno.EUCLEAN))
# How long a copy is looked for last: by then its owner has put it away, or found nothing wrong.
SPOILT_S = 60.0
# How many are remembered; the oldest is tried again.
SPOILT_MAX = 1024

# Takes a file and the byte of the body at which it fails; whether it could be told.
Tell = Callable[[str, int], bool]


class StorageFault(Exception):
    """A disk or a file on it does not give what it should."""


class Unreadable(StorageFault):
    """No copy of an object can be opened, and these should be there."""

    def __init__(self, message: str, paths: Sequence[str]) -> None:
        super().__init__(message)
        self.paths = paths


def is_spoilt(error: Exception) -> bool:
    """Whether an error says that a copy is not what it should be."""
    if isinstance(error, OSError):
        return error.errno in DISK_ERRORS
    return isinstance(error, StorageFault)


class SpoiltCopies:
    """Those that one worker has met."""

    __slots__ = ("_row", "_tell", "_until")

    def __init__(self, row: "memoryview[int]", tell: Tell) -> None:
        self._row = row
        self._tell = tell
        self._until: dict[str, float] = {}

    def add(self, path: str, offset: int, now: float) -> bool:
        """Whether that is news."""
        is_news = not self.has(path, now)
        self._until.pop(path, None)
        self._until[path] = now + SPOILT_S
        if len(self._until) > SPOILT_MAX:
            del self._until[next(iter(self._until))]
        if is_news:
            self._row[tally.SPOILT_COPIES] += 1
            self._row[tally.SPOILT_COPIES_UNTOLD] += not self._tell(path, offset)
        return is_news

    def has(self, path: str, now: float) -> bool:
        return now < self._until.get(path, now)

    def last(self, paths: Sequence[str], now: float) -> Sequence[str]:
        """The same paths, the spoilt ones last."""
        if not self._until:
            return paths
        return sorted(paths, key=lambda path: self.has(path, now))
