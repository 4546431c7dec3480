"""From bytes of a source to blocks that may be shown: none before its digest was found right.

Where the digests of an object's blocks are known each block is shown when it is there. Where none are,
only the digest of the whole can tell, so nothing is shown before the last byte; such an object is pulled
up to a size that may stand in memory meanwhile.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sluice_appliance.fill.sources import Chunk, Source
from sluice_appliance.store.blocks import block_digest
from sluice_appliance.store.layout import (
    BLOCK_BYTES,
    BLOCK_DIGEST_BYTES,
    ObjectHeader,
    block_count,
)

# Of an object without digests of blocks; its client waits for all of it.
WHOLE_BYTES_MAX = 8 * BLOCK_BYTES


class WrongBytes(Exception):
    """They are not the object's."""


@dataclass(frozen=True, slots=True)
class Located:
    """An object of the catalog, and where it may be fetched, best first."""

    header: ObjectHeader
    # None where its publisher made none.
    block_digests: bytes | None
    sources: Sequence[Source]

    @property
    def blocks(self) -> int:
        return block_count(self.header.size_bytes)

    @property
    def by_block(self) -> bool:
        """Whether each block can be judged by itself."""
        expected = self.blocks * BLOCK_DIGEST_BYTES
        return self.block_digests is not None and len(self.block_digests) == expected

    @property
    def may_be_pulled(self) -> bool:
        return self.by_block or self.header.size_bytes <= WHOLE_BYTES_MAX

    def block_bytes(self, block: int) -> int:
        """How long a block is; the last is as long as it is."""
        return min(BLOCK_BYTES, self.header.size_bytes - block * BLOCK_BYTES)

    def is_right(self, block: int, data: bytes) -> bool:
        """Whether these bytes are this block; False where nobody can tell."""
        if self.block_digests is None or len(data) != self.block_bytes(block):
            return False
        at = block * BLOCK_DIGEST_BYTES
        return block_digest(data) == self.block_digests[at : at + BLOCK_DIGEST_BYTES]


class Verifier:
    """Takes what a source sends from the first byte of block `first` on."""

    def __init__(self, located: Located, first: int) -> None:
        self._located = located
        # The block that comes.
        self._block = first
        self._came = bytearray()

    def take(self, chunk: Chunk) -> Iterator[tuple[int, bytes]]:
        """The blocks that are whole and right now. Raises WrongBytes behind the last that is right."""
        self._came += chunk
        return self._take_blocks() if self._located.by_block else self._take_whole()

    def _take_blocks(self) -> Iterator[tuple[int, bytes]]:
        located = self._located
        while self._block < located.blocks:
            size_bytes = located.block_bytes(self._block)
            if len(self._came) < size_bytes:
                break
            data = bytes(self._came[:size_bytes])
            if not located.is_right(self._block, data):
                raise WrongBytes(f"block {self._block} is not the object's")
            del self._came[:size_bytes]
            yield self._block, data
            self._block += 1

    def _take_whole(self) -> Iterator[tuple[int, bytes]]:
        header = self._located.header
        if len(self._came) < header.size_bytes:
            return
        body = bytes(self._came)
        if hashlib.sha256(body).digest() != header.sha256:
            raise WrongBytes("its SHA-256 is not the object's")
        self._came.clear()
        for block in range(self._located.blocks):
            yield block, body[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES]
