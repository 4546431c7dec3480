"""Which keys leave a flash tier when better ones come: of the oldest few the least, the others begin anew.

Flash likes to be written as a log, in order, and to be freed in about that order. So a tier is a queue. When
room is needed the oldest few are looked at: the one least asked for goes, the others go to the end of the
queue, as in the FIFOs with re-insertion (CLOCK, S3-FIFO). That moves a name in memory and no
byte on flash: a block is a file of its own, written once and deleted whole.

Cost: a look at `LOOKED_AT` keys for a block that goes.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

# The one that goes is then on average among the least seventeenth of the tier.
LOOKED_AT = 16


@dataclass(frozen=True, slots=True)
class Weakest:
    """Those that would make room; they are held until they are removed."""

    keys: tuple[str, ...]
    # Worth times bytes: what is lost with them.
    lost: float
    # The mean of their worths, by bytes; 0 of none.
    worth: float


NOBODY = Weakest((), 0.0, 0.0)


class FlashQueue:
    """The keys that a tier holds and their sizes, the oldest first; never more than its capacity."""

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

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(self._sizes.items())

    def add(self, key: str, size_bytes: int) -> None:
        """There is room for it."""
        assert key not in self._sizes, f"{key} is held"
        assert size_bytes <= self.room_bytes, f"{size_bytes} bytes, room for {self.room_bytes}"
        self._sizes[key] = size_bytes
        self.held_bytes += size_bytes

    def remove(self, key: str) -> bool:
        """Whether it was held."""
        size_bytes = self._sizes.pop(key, None)
        if size_bytes is None:
            return False
        self.held_bytes -= size_bytes
        return True

    @property
    def room_bytes(self) -> int:
        return self.capacity_bytes - self.held_bytes

    def weakest(self, needed_bytes: int, worth_of: Callable[[str], float]) -> Weakest:
        """Who would have to go for so many bytes, which the tier can hold. All that were looked at go to
        the end of the queue, whether they are removed then or not."""
        assert needed_bytes <= self.capacity_bytes, f"{needed_bytes} of {self.capacity_bytes} bytes"
        chosen: dict[str, float] = {}
        missing = needed_bytes - self.room_bytes
        while missing > 0:
            worth, key = self._least_of_the_oldest(chosen, worth_of)
            chosen[key] = worth * self._sizes[key]
            missing -= self._sizes[key]
        if not chosen:
            return NOBODY
        lost = sum(chosen.values())
        return Weakest(tuple(chosen), lost, lost / sum(self._sizes[key] for key in chosen))

    def _least_of_the_oldest(
        self, chosen: dict[str, float], worth_of: Callable[[str], float]
    ) -> tuple[float, str]:
        # Those chosen already stand at the end; a short queue comes round to them.
        looked_at = [key for key in islice(self._sizes, LOOKED_AT) if key not in chosen]
        if not looked_at:
            looked_at = [next(key for key in self._sizes if key not in chosen)]
        for key in looked_at:
            self._sizes.move_to_end(key)
        return min((worth_of(key), key) for key in looked_at)
