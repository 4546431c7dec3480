"""Blocks that just came in, in memory: they are served from there while it is not said that flash takes them.

First in, first out; a block is there for a second request to come, or leaves without a byte written.
"""

from collections import OrderedDict


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

    def add(self, key: str, size_bytes: int) -> tuple[str, ...]:
        """Those that left for it, the oldest first; itself, if it is larger than all the memory."""
        assert key not in self._sizes, f"{key} is on probation"
        if size_bytes > self.capacity_bytes:
            return (key,)
        self._sizes[key] = size_bytes
        self.held_bytes += size_bytes
        left = []
        while self.held_bytes > self.capacity_bytes:
            oldest, its_bytes = self._sizes.popitem(last=False)
            self.held_bytes -= its_bytes
            left.append(oldest)
        return tuple(left)

    def remove(self, key: str) -> bool:
        """Whether it was there."""
        size_bytes = self._sizes.pop(key, None)
        if size_bytes is None:
            return False
        self.held_bytes -= size_bytes
        return True
