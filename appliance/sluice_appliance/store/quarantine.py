"""Where damaged files go: out of service at once, and kept for who wants to know what befell them.

What is there is never deleted by the box. It takes a bounded number of files and bytes of each disk; past
that a damaged file is removed, counted and told of, for it must not be served and room is for objects.
"""

import os
from typing import Protocol

from sluice_appliance.store.disk import Disk

QUARANTINE_FOLDER = "quarantine"
FILES_MAX = 1000
# Of a disk, no more than a fiftieth, and no more than this.
BYTES_MAX = 64 << 30
_SHARE = 50


class OfDisk(Protocol):
    """A disk of the store, as far as this needs it."""

    root: str
    disk: Disk

    @property
    def capacity_bytes(self) -> int: ...


def has_room(files: int, held_bytes: int, size_bytes: int, capacity_bytes: int) -> bool:
    """Whether one more file may be kept."""
    most = min(BYTES_MAX, capacity_bytes // _SHARE)
    return files < FILES_MAX and held_bytes + size_bytes <= most


def contents(root: str) -> tuple[int, int]:
    """How many files are in quarantine on a disk, and their bytes. Raises OSError."""
    try:
        with os.scandir(f"{root}/{QUARANTINE_FOLDER}") as entries:
            sizes = [entry.stat(follow_symlinks=False).st_size for entry in entries]
    except FileNotFoundError:
        return 0, 0
    return len(sizes), sum(sizes)


def put_away(on: OfDisk, path: str) -> bool:
    """Takes a file out of service; False where there was no room and it was removed. Raises OSError."""
    files, held_bytes = contents(on.root)
    if not has_room(files, held_bytes, os.stat(path).st_size, on.capacity_bytes):
        on.disk.remove(path)
        return False
    folder = f"{on.root}/{QUARANTINE_FOLDER}"
    if not os.path.isdir(folder):
        on.disk.make_folder(folder)
        on.disk.sync_folder(on.root)
    on.disk.rename(path, _free_name(folder, os.path.basename(path)))
    # The old name first: lost in a power cut, it would be served again.
    on.disk.sync_folder(os.path.dirname(path))
    on.disk.sync_folder(folder)
    return True


def _free_name(folder: str, name: str) -> str:
    """What was damaged before under the same key stays."""
    for number in range(FILES_MAX + 1):
        target = f"{folder}/{name}.{number}"
        if not os.path.lexists(target):
            return target
    raise AssertionError(f"{folder} has more than {FILES_MAX} files")
