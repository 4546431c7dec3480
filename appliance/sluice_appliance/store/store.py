"""The objects of one appliance. Whatever is under `objects/` is whole and was verified.

    lock       owned by the one process that may change the store
    objects/   what is served, where `layout.object_path` says
    partial/   what is on its way in

The file system is the index: nothing is read at the start but what is under `partial/`. Everything
here blocks; asyncio speaks to it through `store.threaded`.
"""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from sluice_appliance.store.disk import Disk, RealDisk
from sluice_appliance.store.errors import StoreInUse
from sluice_appliance.store.layout import (
    BODY_OFFSET,
    OBJECTS_FOLDER,
    LayoutError,
    ObjectHeader,
    ObjectKey,
    decode_header,
    object_path,
)
from sluice_appliance.store.partial import (
    PARTIAL_FOLDER,
    PartialObject,
    partial_path,
    resumable,
)


class Store:
    """Open it with `Store.open`, in one process at a time."""

    def __init__(self, root: str, lock: int, disk: Disk) -> None:
        self.root = root
        self._lock = lock
        self._disk = disk

    @classmethod
    def open(cls, root: Path, *, disk: Disk | None = None) -> Self:
        """Makes the folders and takes the lock. Raises StoreInUse, OSError."""
        disk = disk or RealDisk()
        for folder in (OBJECTS_FOLDER, PARTIAL_FOLDER):
            disk.make_folder(f"{root}/{folder}")
        store = cls(str(root), _take_lock(root / "lock"), disk)
        try:
            store._remove_useless_partials()
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Gives the lock back."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def held(self, key: ObjectKey) -> ObjectHeader | None:
        """What is held under `key`; None for nothing, and for a file that is damaged."""
        header = _read_object(object_path(self.root, key))
        return header if header is not None and header.key == key else None

    def scan(self) -> Iterator[ObjectHeader]:
        """Everything held, in no order. A damaged file is passed over: it is not held."""
        for folder in _folders(f"{self.root}/{OBJECTS_FOLDER}"):
            for path in _files(folder):
                header = _read_object(path)
                if header is not None and object_path(self.root, header.key) == path:
                    yield header

    def begin(
        self, key: ObjectKey, size_bytes: int, sha256: bytes, content_type: str
    ) -> PartialObject:
        """Goes on with an object or starts it. Raises LayoutError for one that cannot be, OSError."""
        return PartialObject(
            self.root, ObjectHeader(key, size_bytes, sha256, content_type), self._disk
        )

    def delete(self, key: ObjectKey) -> None:
        """Lets an object go. Not synced: one that comes back after a power cut is whole."""
        self._disk.remove(object_path(self.root, key))

    def partials(self) -> Iterator[ObjectHeader]:
        """What is on its way in."""
        for path in _files(f"{self.root}/{PARTIAL_FOLDER}"):
            header = resumable(path)
            if header is not None:
                yield header

    def forget_partial(self, header: ObjectHeader) -> None:
        """Removes what was received of an object that nobody wants any more."""
        self._disk.remove(partial_path(self.root, header.key, header.sha256))

    def _remove_useless_partials(self) -> None:
        for path in _files(f"{self.root}/{PARTIAL_FOLDER}"):
            header = resumable(path)
            if header is None or partial_path(self.root, header.key, header.sha256) != path:
                self._disk.remove(path)


def _folders(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]


def _files(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.path for entry in entries if entry.is_file(follow_symlinks=False)]


def _take_lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise StoreInUse(
            f"the store {path.parent} is in use by process {owner or '(unknown)'}"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _read_object(path: str) -> ObjectHeader | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        header = decode_header(os.pread(descriptor, BODY_OFFSET, 0))
        whole = os.fstat(descriptor).st_size == BODY_OFFSET + header.size_bytes
    except LayoutError:
        return None
    finally:
        os.close(descriptor)
    return header if whole else None
