"""A real file system that fails to read from a place on: ext4 in a file that is cut short beneath it.

The loop device keeps the size that it had, and the kernel answers EIO for what the file lacks. For root,
where loop devices are; elsewhere the test is skipped.
"""

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.serving.slow_disk import mounted

# linux/fs.h: in which block of its disk a block of a file is.
_FIBMAP = 1
_BLOCK_BYTES = 4096


@dataclass
class BreakableDisk:
    """Mounted at `path`."""

    path: Path
    _image: Path

    def break_from(self, file: Path, offset: int) -> None:
        """From here on nothing can be read that stands behind this byte of the file, on the disk: of the
        file itself, written in one go, all that follows."""
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
            told = fcntl.ioctl(opened, _FIBMAP, struct.pack("i", offset // _BLOCK_BYTES))
        [block] = struct.unpack("i", told)
        os.sync()
        os.truncate(self._image, block * _BLOCK_BYTES)


@contextmanager
def breakable_disk(folder: Path, *, size_bytes: int) -> Iterator[BreakableDisk]:
    """Mounts one in a new folder, and takes it down again."""
    image = folder / "breakable.img"
    # A journal stands in the middle of its disk, and would break with it.
    options = ("-b", str(_BLOCK_BYTES), "-O", "^has_journal")
    with mounted(image, folder / "breakable", *options, size_bytes=size_bytes) as path:
        try:
            yield BreakableDisk(path, image)
        finally:
            os.truncate(image, size_bytes)
