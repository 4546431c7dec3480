"""The SHA-256 of an object whose blocks come in any order, hashed while they come.

It goes from the first byte to the last, so it stands at the first block that is missing. Who writes a block
takes it on over all blocks that are here by then, read back from the page cache where they came before;
meanwhile others write theirs, but wait where it is far behind: a thread that hashes beside many who write would
be left behind, and the end of an object would be hashed alone.
"""

import hashlib
import threading
from collections.abc import Callable

from sluice_appliance.store.layout import BLOCK_BYTES

# Of one writer at a time: it has bytes of its own to bring in. 32 MiB take some 25 ms.
_BLOCKS_AT_A_TIME = 32
# What is here and not hashed; writers wait beyond.
_BEHIND_BYTES_MAX = 16 * BLOCK_BYTES

# (first byte, size) -> the bytes, all of them.
Read = Callable[[int, int], "bytes | memoryview"]


class WholeDigest:
    """For any number of threads."""

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._hash = hashlib.sha256()
        self._hashed_bytes = 0
        self._hashing = threading.Lock()

    def hash_on(self, here_bytes: Callable[[], int], read: Read) -> None:
        """`here_bytes`: how many are here without a gap, in whole blocks. Where another thread hashes
        already, it goes on with what is here, and this one returns, once that is not far behind."""
        blocks = 0
        # Looked at again when done: who came meanwhile has left it to this thread.
        while blocks < _BLOCKS_AT_A_TIME and self._hashed_bytes < (here := here_bytes()):
            is_far_behind = here - self._hashed_bytes > _BEHIND_BYTES_MAX
            if not self._hashing.acquire(blocking=is_far_behind):
                return
            try:
                if self._hashed_bytes < here_bytes():
                    self._hash_block(read)
                    blocks += 1
            finally:
                self._hashing.release()

    def hash_rest(self, read: Read) -> None:
        """All that is not hashed yet; everything must be here."""
        with self._hashing:
            while self._hashed_bytes < self._size_bytes:
                self._hash_block(read)

    def sha256(self) -> bytes:
        return self._hash.digest()

    def _hash_block(self, read: Read) -> None:
        size_bytes = min(BLOCK_BYTES, self._size_bytes - self._hashed_bytes)
        self._hash.update(read(self._hashed_bytes, size_bytes))
        self._hashed_bytes += size_bytes
