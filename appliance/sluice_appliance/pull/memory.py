"""The blocks that are in memory, each a file of its own that never changes, and who was handed it.

What stays is `FlashCache`'s to say, by name `key#block`. Beside what it keeps, the last few that it did
not are held for a moment: those who wait for the same block find it.
"""

import os
from collections import OrderedDict
from typing import Protocol

from sluice_runtime.files import memory_file

# Blocks that are only passing: read from flash, or pushed out before they came.
PASSING_MAX = 32


class Holder(Protocol):
    """A worker."""

    def block(self, key: str, block: int, descriptor: int) -> None:
        """Here it is."""

    def drop(self, key: str, block: int) -> None:
        """Let it go."""


class _Held:
    __slots__ = ("block", "descriptor", "holders", "key")

    def __init__(self, key: str, block: int, data: bytes) -> None:
        self.key = key
        self.block = block
        self.descriptor = memory_file("sluice-block", data)
        self.holders: dict[Holder, None] = {}


class BlockMemory:
    """Descriptors are closed here when a block leaves; workers hold their own until they are told."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}
        self._passing: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, name: str) -> bool:
        return name in self._held

    def __len__(self) -> int:
        return len(self._held)

    def put(self, name: str, key: str, block: int, data: bytes) -> None:
        if name not in self._held:
            self._held[name] = _Held(key, block, data)

    def data(self, name: str) -> bytes:
        descriptor = self._held[name].descriptor
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)

    def let_pass(self, name: str) -> None:
        """It is kept no more, but for a moment."""
        if name not in self._held:
            return
        self._passing[name] = None
        self._passing.move_to_end(name)
        while len(self._passing) > PASSING_MAX:
            self.drop(next(iter(self._passing)))

    def stays(self, name: str) -> None:
        """It is kept after all."""
        self._passing.pop(name, None)

    def give(self, name: str, holder: Holder) -> None:
        """To one who has it already nothing is given: it would have been told to let it go."""
        held = self._held[name]
        if holder not in held.holders:
            held.holders[holder] = None
            holder.block(held.key, held.block, held.descriptor)

    def drop(self, name: str) -> None:
        self._passing.pop(name, None)
        held = self._held.pop(name, None)
        if held is None:
            return
        for holder in held.holders:
            holder.drop(held.key, held.block)
        os.close(held.descriptor)

    def gone(self, holder: Holder) -> None:
        """A worker has ended, and what it held with it."""
        for held in self._held.values():
            held.holders.pop(holder, None)

    def close(self) -> None:
        for held in self._held.values():
            os.close(held.descriptor)
        self._held.clear()
        self._passing.clear()
