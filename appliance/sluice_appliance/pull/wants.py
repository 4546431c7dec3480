"""Who waits for which blocks, and which of them are fetched next.

A block is fetched once, whoever asks for it meanwhile. What is wanted side by side comes by one request
to a source, so many blocks at most; objects take turns.
"""

from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

# Blocks that one request to a source is for: what is lost of it where its reader leaves is one block, and
# 8 MiB make a long path worth while.
PIECE_BLOCKS = 8
# Readers that wait, of all workers; each waits for some blocks of one object.
WAITERS_MAX = 4096

Waiter = TypeVar("Waiter", bound=Hashable)


class Piece(NamedTuple):
    """Blocks `first` up to before `end` of one object."""

    key: str
    first: int
    end: int


@dataclass(slots=True)
class _Wanted:
    key: str
    blocks: set[int]


class Wants(Generic[Waiter]):
    """Every waiter ends by having all that it asked for, by failing, or by leaving."""

    def __init__(self, waiters_max: int = WAITERS_MAX) -> None:
        self._waiters_max = waiters_max
        self._by_waiter: dict[Waiter, _Wanted] = {}
        # The object whose turn was longest ago first; in it, the block first asked for.
        self._by_key: dict[str, dict[int, dict[Waiter, None]]] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._by_waiter)

    def add(self, waiter: Waiter, key: str, blocks: Iterable[int]) -> bool:
        """On top of what it waits for; False, and nothing is changed, where too many wait or it waits for
        another object."""
        wanted = self._by_waiter.get(waiter)
        if wanted is None:
            if len(self._by_waiter) >= self._waiters_max:
                return False
            wanted = _Wanted(key, set())
        elif wanted.key != key:
            return False
        for block in blocks:
            wanted.blocks.add(block)
            self._by_key.setdefault(key, {}).setdefault(block, {})[waiter] = None
        if wanted.blocks:
            self._by_waiter[waiter] = wanted
        return True

    def leave(self, waiter: Waiter) -> None:
        wanted = self._by_waiter.pop(waiter, None)
        if wanted is None:
            return
        of_key = self._by_key[wanted.key]
        for block in wanted.blocks:
            waiters = of_key[block]
            del waiters[waiter]
            if not waiters:
                del of_key[block]
        if not of_key:
            del self._by_key[wanted.key]

    def arrived(self, key: str, block: int) -> tuple[Waiter, ...]:
        """Those that waited for it."""
        of_key = self._by_key.get(key, {})
        waiters = tuple(of_key.pop(block, ()))
        if not of_key:
            self._by_key.pop(key, None)
        for waiter in waiters:
            wanted = self._by_waiter[waiter]
            wanted.blocks.discard(block)
            if not wanted.blocks:
                del self._by_waiter[waiter]
        return waiters

    def failed(self, key: str, blocks: Iterable[int]) -> tuple[Waiter, ...]:
        """Those that waited for any of them: they wait for nothing any more."""
        of_key = self._by_key.get(key, {})
        waiters = {waiter: None for block in blocks for waiter in of_key.get(block, ())}
        for waiter in waiters:
            self.leave(waiter)
        return tuple(waiters)

    def is_wanted(self, key: str, block: int) -> bool:
        return block in self._by_key.get(key, {})

    def next_piece(self, busy: Collection[tuple[str, int]]) -> Piece | None:
        """What to ask a source for; `busy`: blocks that are on their way. None where nothing is left."""
        for key, blocks in self._by_key.items():
            for first in blocks:
                if (key, first) not in busy:
                    end = first + 1
                    while end in blocks and end - first < PIECE_BLOCKS and (key, end) not in busy:
                        end += 1
                    # Others have their turn before it has another.
                    self._by_key[key] = self._by_key.pop(key)
                    return Piece(key, first, end)
        return None
