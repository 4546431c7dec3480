"""Which bytes of an object are here: whole blocks, each verified where its digest is known.

Blocks may come in any order where digests are known, and each from its first byte to its last; where none
are known, from the first byte of the object to the last, as only the digest of the whole can tell then.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from sluice_appliance.store.blocks import BlockHasher, check_block_digests
from sluice_appliance.store.errors import BlockMismatch, NotInOrder
from sluice_appliance.store.layout import BLOCK_BYTES, BLOCK_DIGEST_BYTES, block_count


class Span(NamedTuple):
    """Bytes of a body: the first, and the one behind the last."""

    start: int
    end: int


@dataclass(slots=True)
class Growing:
    """A block of which some is here, up to before `end`."""

    end: int
    hasher: BlockHasher = field(default_factory=BlockHasher)


class Assembly:
    """An object as it comes together. `expected`: the digests of its blocks, where they are known."""

    def __init__(self, size_bytes: int, expected: bytes | None) -> None:
        if expected is not None:
            check_block_digests(expected, size_bytes)
        self._size_bytes = size_bytes
        self._expected = expected
        self._count = block_count(size_bytes)
        self._here = bytearray(self._count)
        self._digests = bytearray(self._count * BLOCK_DIGEST_BYTES)
        self._growing: dict[int, Growing] = {}
        self._first_missing = 0

    @property
    def digests(self) -> bytes:
        """Of all blocks; zeros for those that are missing."""
        return bytes(self._digests)

    @property
    def received_bytes(self) -> int:
        """How many bytes are here without a gap from the first."""
        return min(self._size_bytes, self.goes_on_at(self._first_missing))

    @property
    def whole_blocks_bytes(self) -> int:
        """How many bytes are here without a gap from the first, in whole blocks."""
        return min(self._size_bytes, self._first_missing * BLOCK_BYTES)

    def missing(self) -> tuple[Span, ...]:
        """What is to come; each span may be fetched by itself where digests are known."""
        spans: list[Span] = []
        block = self._first_missing
        while block < self._count:
            found = self._here.find(1, block)
            until = self._count if found < 0 else found
            spans += self._gap(block, until)
            found = self._here.find(0, until)
            block = self._count if found < 0 else found
        return tuple(spans)

    def goes_on_at(self, block: int) -> int:
        """The byte of the object at which this block goes on; its end where it is here."""
        if block < self._count and self._here[block]:
            return self._end(block)
        growing = self._growing.get(block)
        return block * BLOCK_BYTES if growing is None else growing.end

    def check_order(self, block: int, start: int) -> None:
        """Raises NotInOrder for bytes that cannot be taken now."""
        goes_on = self.goes_on_at(block) if self._expected is not None else self.received_bytes
        if start > goes_on:
            raise NotInOrder(f"bytes from {start} came where {goes_on} was to come next")

    def take(self, block: int, start: int, piece: "bytes | memoryview") -> None:
        """Some of a block, from where it goes on. Raises BlockMismatch, and has none of the block then."""
        growing = self.growing(block, start)
        growing.hasher.update(piece)
        self.settle(block, growing, len(piece))

    def growing(self, block: int, start: int) -> Growing:
        """A block to hash more of, from where it goes on. It may be done beside other blocks; all other
        methods are for one thread at a time."""
        return self._growing.setdefault(block, Growing(start))

    def settle(self, block: int, growing: Growing, size_bytes: int) -> None:
        """So many bytes more were hashed. Raises BlockMismatch, and has none of the block then."""
        growing.end += size_bytes
        if growing.end == self._end(block):
            self._complete(block)

    def _gap(self, first: int, until: int) -> Iterator[Span]:
        """What is missing of blocks none of which is whole."""
        start = first * BLOCK_BYTES
        for block in sorted(block for block in self._growing if first <= block < until):
            begins, goes_on = block * BLOCK_BYTES, self.goes_on_at(block)
            if goes_on > begins:
                if begins > start:
                    yield Span(start, begins)
                start = goes_on
        yield Span(start, self._end(until - 1))

    def _complete(self, block: int) -> None:
        digest = self._growing.pop(block).hasher.digest()
        at = block * BLOCK_DIGEST_BYTES
        if self._expected is not None:
            expected = self._expected[at : at + BLOCK_DIGEST_BYTES]
            if digest != expected:
                raise BlockMismatch(
                    f"block {block}: BLAKE3 is {digest.hex()}, expected {expected.hex()}"
                )
        self._digests[at : at + BLOCK_DIGEST_BYTES] = digest
        self._here[block] = 1
        while self._first_missing < self._count and self._here[self._first_missing]:
            self._first_missing += 1

    def _end(self, block: int) -> int:
        return min(self._size_bytes, (block + 1) * BLOCK_BYTES)
