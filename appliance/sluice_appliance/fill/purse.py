"""How many bytes a fetch may still take: what the plan gave it, told anew with every plan."""

from collections.abc import Callable
from math import inf

# A plan goes by the room that a partial object takes. Of that the digests of its blocks are some, and what
# had come of blocks that were cut, or wrong, in each of the streams.
UNKNOWN_BYTES_MAX = 8 * 1024 * 1024


class Purse:
    """`on_take` hears of every byte that came, in the purse or not."""

    __slots__ = ("_may_give", "_on_take", "is_whole", "left_bytes", "taken_bytes", "waits")

    def __init__(
        self,
        left_bytes: float = inf,
        on_take: Callable[[int], None] = lambda size_bytes: None,
        *,
        waits: bool = True,
        may_give: Callable[[float], bool] = lambda size_bytes: True,
    ) -> None:
        # Whether it waits while the link has carried what is paid for.
        self.waits = waits
        self.left_bytes = left_bytes
        self.taken_bytes = 0
        self._on_take = on_take
        self._may_give = may_give
        # Whether it was given all that is missing of the object.
        self.is_whole = True

    @property
    def is_empty(self) -> bool:
        return self.left_bytes < 1

    def take(self, size_bytes: int) -> None:
        self.left_bytes -= size_bytes
        self.taken_bytes += size_bytes
        self._on_take(size_bytes)

    def expect(self, missing_bytes: int) -> None:
        """A fetch that begins finds that so much is missing of its object: the little that the plan could
        not know is given where the budgets have it."""
        self.is_whole = missing_bytes <= self.left_bytes + UNKNOWN_BYTES_MAX
        self.ensure(missing_bytes)
        self.is_whole = missing_bytes <= self.left_bytes

    def ensure(self, missing_bytes: int) -> None:
        """Bytes that were wrong have to come again: given once more where the budgets have them still."""
        short = missing_bytes - self.left_bytes
        if self.is_whole and short > 0 and self._may_give(short):
            self.left_bytes += short

    def fill(self, take_bytes: float, taken_before: int) -> None:
        """A plan that was made when `taken_before` bytes had been taken gives so many more."""
        self.left_bytes = take_bytes - (self.taken_bytes - taken_before)
