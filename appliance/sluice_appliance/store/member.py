"""One disk of a store: its lock, its folders, and whether it may be used.

Whatever fails on it is followed by a look at the disk: one that does not take a small file and give it
back, or stands no longer where it stood, is left alone from then on. One that only fails at some
object stays in use, and counts the failures.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from sluice_appliance.store.disk import Disk
from sluice_appliance.store.disks import DiskPlace, DiskState, DiskStatus
from sluice_appliance.store.errors import StoreInUse
from sluice_appliance.store.layout import (
    BODY_OFFSET,
    OBJECTS_FOLDER,
    LayoutError,
    ObjectHeader,
    decode_page,
    file_bytes,
    named_path,
    object_name,
)
from sluice_appliance.store.partial import PARTIAL_FOLDER, partial_path, resumable
from sluice_runtime.logs import get_logger

log = get_logger(__name__)

# What a file system needs for itself: an object is put elsewhere before a disk is filled to the last.
FREE_BYTES_MIN = 64 * 1024
_PROBE_FILE = "probe"
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))


class Member:
    """Opened by `Store.open`."""

    def __init__(self, place: DiskPlace, disk: Disk, *, tier_said_by: str = "nobody") -> None:
        self.place = place
        self._tier_said_by = tier_said_by
        self.disk = disk
        self.root = place.root
        self.state = DiskState.IN_USE
        self.reason = ""
        self.errors = 0
        self.stored_bytes = 0
        self._lock = -1
        self._device: int | None = None
        # One that was read-only from the start has no lock, and is not written before the next.
        self._may_write = False

    def status(self) -> DiskStatus:
        place = self.place
        return DiskStatus(
            place.root,
            place.tier,
            self.state,
            self.reason,
            place.capacity_bytes,
            0 if self.state is DiskState.FAILED else self.stored_bytes,
            self.errors,
        )

    def tell(self) -> None:
        """One line of log, when all has been opened."""
        log.info(
            "disk_opened",
            disk=self.root,
            disk_id=self.place.disk_id,
            tier=self.place.tier.value,
            tier_said_by=self._tier_said_by,
            state=self.state.value,
        )

    # --- opening ----------------------------------------------------------------------------------

    def open(self, *, shared_lock: bool) -> None:
        """Makes the folders and takes the lock, which the store's folder has taken already where
        `shared_lock`. Raises StoreInUse, OSError."""
        for folder in (OBJECTS_FOLDER, PARTIAL_FOLDER):
            self.disk.make_folder(f"{self.root}/{folder}")
        if not shared_lock:
            self._lock = take_lock(Path(self.root) / "lock")
        self._device = os.stat(self.root).st_dev
        self._remove_useless_partials()
        self._may_write = True

    def open_read_only(self, reason: str) -> None:
        """The disk is read and takes nothing. Raises OSError where it cannot be read either."""
        os.listdir(f"{self.root}/{OBJECTS_FOLDER}")
        self._device = os.stat(self.root).st_dev
        self._become(DiskState.READ_ONLY, reason)

    def close(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    # --- what is on it ----------------------------------------------------------------------------

    def path(self, name: str) -> str:
        return named_path(self.root, name)

    def partial(self, header: ObjectHeader) -> str:
        return partial_path(self.root, header.key, header.sha256)

    def read(self, name: str) -> ObjectHeader | None:
        """The object of this name; None for nothing, and for a file that is damaged. Raises OSError."""
        header = read_object(self.path(name))
        return header if header is not None and object_name(header.key) == name else None

    def scan(self) -> Iterator[ObjectHeader]:
        """Everything held, in no order. A damaged file is passed over: it is not held."""
        stored_bytes = 0
        for folder in _folders(f"{self.root}/{OBJECTS_FOLDER}"):
            for path in _files(folder):
                header = read_object(path)
                if header is not None and self.path(object_name(header.key)) == path:
                    stored_bytes += header.size_bytes
                    yield header
        self.stored_bytes = stored_bytes

    def partials(self) -> Iterator[tuple[ObjectHeader, int]]:
        """What is on its way in, and how much of it takes room already."""
        for path in _files(f"{self.root}/{PARTIAL_FOLDER}"):
            header = resumable(path)
            if header is not None:
                taken_bytes = os.stat(path).st_blocks * 512 - BODY_OFFSET
                yield header, max(0, min(header.size_bytes, taken_bytes))

    def has_room_for(self, size_bytes: int) -> bool:
        """Raises OSError."""
        status = os.statvfs(self.root)
        free_bytes = status.f_bavail * status.f_frsize
        kept_bytes = self.stored_bytes + size_bytes
        return size_bytes + FREE_BYTES_MIN <= free_bytes and kept_bytes <= self.place.capacity_bytes

    def _remove_useless_partials(self) -> None:
        for path in _files(f"{self.root}/{PARTIAL_FOLDER}"):
            header = resumable(path)
            if header is None or self.partial(header) != path:
                self.disk.remove(path)

    # --- how it is --------------------------------------------------------------------------------

    def failed_at(self, error: OSError) -> None:
        """An operation failed: looks whether it is the disk that did."""
        if error.errno in _FULL:
            return
        self.errors += 1
        log.warning("disk_error", disk=self.root, error=str(error), errors=self.errors)
        self.look()

    def look(self) -> None:
        """Takes the disk out of use where it does not do what a disk should, and back into use one that
        was read-only and is writable again. One that failed stays so until the store is opened anew."""
        if self.state is DiskState.FAILED:
            return
        try:
            if os.stat(self.root).st_dev != self._device:
                self._become(DiskState.FAILED, "another file system, or none, is mounted there now")
                return
            os.listdir(f"{self.root}/{OBJECTS_FOLDER}")
            if not self._may_write:
                return
            self._probe()
        except OSError as error:
            if error.errno == errno.EROFS:
                self._become(DiskState.READ_ONLY, "the file system is read-only")
            elif error.errno not in _FULL:
                self._become(DiskState.FAILED, error.strerror or str(error))
        else:
            self._become(DiskState.IN_USE, "")

    def _probe(self) -> None:
        """Writes a small file and syncs it, as a fill would. Raises OSError."""
        path = f"{self.root}/{_PROBE_FILE}"
        descriptor = self.disk.open_for_writing(path)
        try:
            self.disk.write(descriptor, memoryview(b"sluice\n"), 0)
            self.disk.sync(descriptor)
        finally:
            os.close(descriptor)

    def fail(self, reason: str) -> None:
        """The disk is left alone from now on."""
        self._become(DiskState.FAILED, reason)

    def _become(self, state: DiskState, reason: str) -> None:
        if state is self.state:
            return
        self.state, self.reason = state, reason
        if state is DiskState.IN_USE:
            log.info("disk_in_use", disk=self.root)
        else:
            log.error("disk_out_of_use", disk=self.root, state=state.value, reason=reason)


def take_lock(path: Path) -> int:
    """Raises StoreInUse, OSError. Held by a descriptor that only reads, or the file system could not be
    made read-only while it is in use."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise StoreInUse(
            f"the store {path.parent} is in use by process {owner or '(unknown)'}"
        ) from None
    try:
        path.write_text(f"{os.getpid()}\n")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_object(path: str) -> ObjectHeader | None:
    """What a file under `objects/` is; None for none, and for one that is damaged. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        header, version = decode_page(os.pread(descriptor, BODY_OFFSET, 0))
        whole = os.fstat(descriptor).st_size == file_bytes(header.size_bytes, version)
    except LayoutError:
        return None
    finally:
        os.close(descriptor)
    return header if whole else None


def _folders(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]


def _files(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.path for entry in entries if entry.is_file(follow_symlinks=False)]
