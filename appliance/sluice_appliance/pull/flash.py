"""The blocks that flash keeps, a file each, and what else of this box's disks has a block already.

    pulled/<2 hex>/<64 hex>   one block; the name is the SHA-256 of `key#block`

What is there is judged by its digest whenever it is read, so nothing has to be synced, and a file that
was torn by a crash is one that is not there. The fill's partial files are looked into too: what it has
brought of an object is not asked of a source again.
"""

import asyncio
import hashlib
import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from sluice_appliance.pull.messages import Where
from sluice_appliance.pull.tally import PullTally
from sluice_appliance.pull.verifying import Located
from sluice_appliance.store.layout import BLOCK_BYTES, BODY_OFFSET
from sluice_appliance.store.partial import partial_path
from sluice_runtime.logs import get_logger

log = get_logger(__name__)

FOLDER = "pulled"
# Writes that wait, each with its block in memory; one more is not written.
WRITES_MAX = 32
# What a file system keeps free for what must not fail.
FREE_BYTES_MIN = 64 * 1024 * 1024
_NOT_TAKEN = b""


class FlashBlocks:
    """`folder` is None where flash keeps nothing. Deletes and writes are done one after another, reads beside
    them. Nothing raises: a disk that fails is counted and logged."""

    def __init__(self, folder: Path | None, disks: Callable[[], Sequence[str]], tally: PullTally):
        self._folder = folder
        self._disks = disks
        self._tally = tally
        self._names: set[str] = set()
        # (name, its bytes or None to delete it)
        self._work: deque[tuple[str, bytes | None]] = deque()
        self._waiting_writes = 0
        self._is_more = asyncio.Event()

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def write(self, name: str, data: bytes) -> None:
        """Later; `lost` is told where it comes to nothing."""
        if self._waiting_writes >= WRITES_MAX:
            self._tally.refused("flash_writes")
            data = _NOT_TAKEN
        else:
            self._waiting_writes += 1
        self._work.append((name, data))
        self._is_more.set()

    def delete(self, name: str) -> None:
        self._work.append((name, None))
        self._is_more.set()

    async def run(self, lost: Callable[[str], None]) -> None:
        """Until cancelled. What an earlier run left is removed first: nobody knows what it is worth."""
        await asyncio.to_thread(self._clear)
        while True:
            await self._is_more.wait()
            self._is_more.clear()
            while self._work:
                name, data = self._work.popleft()
                if data is None:
                    self._names.discard(name)
                    await asyncio.to_thread(self._remove, name)
                elif data and await self._write_now(name, data):
                    self._names.add(name)
                    self._tally.flash_written(len(data))
                else:
                    lost(name)

    async def _write_now(self, name: str, data: bytes) -> bool:
        self._waiting_writes -= 1
        written = await asyncio.to_thread(self._written, name, data)
        if not written:
            self._tally.flash_failed()
        return written

    async def find(self, name: str, located: Located, block: int) -> tuple[bytes, Where] | None:
        """The block, where it is here and right."""
        return await asyncio.to_thread(self._find, name, located, block)

    # --- in threads -------------------------------------------------------------------------------

    def _find(self, name: str, located: Located, block: int) -> tuple[bytes, Where] | None:
        size_bytes = located.block_bytes(block)
        if name in self._names:
            data = _read(self._path(name), 0, size_bytes)
            if located.is_right(block, data):
                return data, Where.FLASH
            self._tally.flash_failed()
        header = located.header
        for disk in self._disks():
            path = partial_path(disk, header.key, header.sha256)
            data = _read(path, BODY_OFFSET + block * BLOCK_BYTES, size_bytes)
            if located.is_right(block, data):
                return data, Where.FILL
        return None

    def _written(self, name: str, data: bytes) -> bool:
        if self._folder is None:
            return False
        path = self._path(name)
        try:
            status = os.statvfs(self._folder)
            if status.f_bavail * status.f_frsize < FREE_BYTES_MIN + len(data):
                return False
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        except OSError as error:
            log.error("pull_flash_failed", path=str(path), error=error.strerror or str(error))
            return False
        return True

    def _remove(self, name: str) -> None:
        try:
            self._path(name).unlink(missing_ok=True)
        except OSError as error:
            self._tally.flash_failed()
            log.error("pull_flash_failed", path=str(self._path(name)), error=str(error))

    def _clear(self) -> None:
        if self._folder is None:
            return
        try:
            self._folder.mkdir(exist_ok=True)
            for path in self._folder.glob("??/*"):
                path.unlink()
        except OSError as error:
            log.error("pull_flash_failed", path=str(self._folder), error=str(error))

    def _path(self, name: str) -> Path:
        assert self._folder is not None, "flash keeps nothing"
        digest = hashlib.sha256(name.encode()).hexdigest()
        return self._folder / digest[:2] / digest


def _read(path: "str | Path", offset: int, size_bytes: int) -> bytes:
    """Fewer bytes where there are not so many; none where the disk fails."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            return os.pread(descriptor, size_bytes, offset)
        finally:
            os.close(descriptor)
    return b""
