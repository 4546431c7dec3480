"""The blocks of an object: a MiB each, the last as long as it is, and a digest of each.

A block's digest is the first 16 bytes of its BLAKE3: by it a block is taken or refused before the rest
of the object is there, and a rotten one is found where it is. The object's SHA-256 has the last word.
BLAKE3 takes 0.2 ms a MiB, a quarter of what SHA-256 takes beside it.
"""

from collections.abc import Iterator

from blake3 import blake3

from sluice_appliance.store.layout import BLOCK_BYTES, BLOCK_DIGEST_BYTES, LayoutError, block_count


class BlockHasher:
    """One block as it comes."""

    __slots__ = ("_hasher",)

    def __init__(self) -> None:
        self._hasher = blake3()

    def update(self, data: "bytes | memoryview") -> None:
        self._hasher.update(data)

    def digest(self) -> bytes:
        return self._hasher.digest(length=BLOCK_DIGEST_BYTES)


def block_digest(data: "bytes | memoryview") -> bytes:
    """Of one whole block."""
    return blake3(data).digest(length=BLOCK_DIGEST_BYTES)


def block_digests(body: bytes) -> bytes:
    """Of a whole body: those of its blocks, one behind the other."""
    return b"".join(
        block_digest(memoryview(body)[start : start + BLOCK_BYTES])
        for start in range(0, len(body), BLOCK_BYTES)
    )


def check_block_digests(digests: bytes, size_bytes: int) -> None:
    """Raises LayoutError where they are not those of a body of this size."""
    expected = block_count(size_bytes) * BLOCK_DIGEST_BYTES
    if len(digests) != expected:
        raise LayoutError(
            f"block digests have {len(digests)} bytes, expected {expected} for {size_bytes} bytes"
        )


def spans_of_blocks(start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(block, first byte, byte behind the last) of each block that bytes `start` to `end` are of."""
    while start < end:
        block = start // BLOCK_BYTES
        until = min(end, (block + 1) * BLOCK_BYTES)
        yield block, start, until
        start = until
