"""Blocks that just came in, in memory: they are served from there while it is not said that flash takes them.

First in, first out, but for those that somebody is on the way to; a block is there for a second request to
come, or leaves without a byte written.
"""

from collections import OrderedDict
from collections.abc import Callable
from itertools import islice

# Bounds what one block costs where viewers are on the way to all.
LOOKED_AT = 8


def _nobody(key: str) -> bool:
    return False


class Probation:
    """Keys and sizes of what is in memory, never more than its capacity."""

    __slots__ = ("_sizes", "capacity_bytes", "held_bytes")

    def __init__(self, capacity_bytes: int):
        if capacity_bytes < 0:
            raise ValueError(f"capacity_bytes is {capacity_bytes}, expected 0 or more")
        self.capacity_bytes = capacity_bytes
        self.held_bytes = 0
        self._sizes: OrderedDict[str, int] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        return key in self._sizes

    def __len__(self) -> int:
        return len(self._sizes)

    def add(
        self, key: str, size_bytes: int, is_awaited: Callable[[str], bool] = _nobody
    ) -> tuple[str, ...]:
        """Those that left for it; itself, if it is larger than all the memory. Of the oldest those
        that are awaited stay, while there are others among the next few."""
        assert key not in self._sizes, f"{key} is on probation"
        if size_bytes > self.capacity_bytes:
            return (key,)
        self._sizes[key] = size_bytes
        self.held_bytes += size_bytes
        left = []
        while self.held_bytes > self.capacity_bytes:
            oldest = self._leaves(is_awaited)
            self.held_bytes -= self._sizes.pop(oldest)
            left.append(oldest)
        return tuple(left)

    def _leaves(self, is_awaited: Callable[[str], bool]) -> str:
        for oldest in [*islice(self._sizes, LOOKED_AT)]:
            if not is_awaited(oldest):
                return oldest
            self._sizes.move_to_end(oldest)
        return next(iter(self._sizes))

    def remove(self, key: str) -> bool:
        """Whether it was there."""
        size_bytes = self._sizes.pop(key, None)
        if size_bytes is None:
            return False
        self.held_bytes -= size_bytes
        return True
