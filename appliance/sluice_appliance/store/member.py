"""One disk of a store: its lock, its folders, and whether it may be used.

Whatever fails on it is followed by a look at the disk: one that does not take a small file and give it
back, or stands no longer where it stood, is left alone from then on. One that only fails at some
object stays in use, and counts the failures, until too many objects fail (`error_window.py`).
"""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from sluice_appliance.store.disk import Disk
from sluice_appliance.store.disks import DiskPlace, DiskState, DiskStatus
from sluice_appliance.store.error_window import ERRORS_MAX, ErrorWindow
from sluice_appliance.store.errors import StoreInUse
from sluice_appliance.store.layout import (
    BODY_OFFSET,
    OBJECTS_FOLDER,
    LayoutError,
    ObjectHeader,
    decode_page,
    file_bytes,
    is_name,
    named_path,
    object_name,
)
from sluice_appliance.store.partial import PARTIAL_FOLDER, partial_path, resumable, written_bytes
from sluice_appliance.store.promises import Promises
from sluice_runtime.logs import get_logger

log = get_logger(__name__)

# What a file system needs for itself: an object is put elsewhere before a disk is filled to the last.
FREE_BYTES_MIN = 64 * 1024
_PROBE_FILE = "probe"
_UPGRADE_FILE = "upgrade"
_NOT_THERE = frozenset((errno.ENOENT, errno.ENOTDIR))
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))
# What only a disk that is dying says, or the file system on it: not who mounted it, nor who owns it.
_BAD = frozenset((errno.EIO, errno.ENXIO, errno.EBADMSG, errno.EUCLEAN, errno.EREMOTEIO))
# So many looks after it failed have to find it as it was: a controller that was reset once is no bad disk.
BAD_LOOKS = 3


class Member:
    """Opened by `Store.open`."""

    def __init__(
        self,
        place: DiskPlace,
        disk: Disk,
        *,
        tier_said_by: str = "nobody",
    ) -> None:
        self.place = place
        self._tier_said_by = tier_said_by
        self.disk = disk
        self.root = place.root
        self.state = DiskState.IN_USE
        self.reason = ""
        self.errors = 0
        # What came less what went, until all that was there before has been added up.
        self.stored_bytes = 0
        self.is_counted = False
        # Of its room, what objects on their way in were given.
        self.promises = Promises()
        # It failed because no disk is mounted there: one may come.
        self.is_absent = False
        # It gives errors again and again: a restart does not make it better.
        self.is_bad = False
        self._bad_looks = 0
        # Damaged files that the quarantine had no room for.
        self.discarded = 0
        # Any clock that does not go back. Until there is one, no error is forgotten.
        self.clock: Callable[[], float] = float
        self._errors = ErrorWindow()
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
            self._errors.count(self.clock()),
            self.discarded,
            self.is_counted or self.state is DiskState.FAILED,
        )

    @property
    def capacity_bytes(self) -> int:
        return self.place.capacity_bytes

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

    @property
    def upgrade_path(self) -> str:
        """Where the audit writes a file of version 1 anew, one at a time."""
        return f"{self.root}/{_UPGRADE_FILE}"

    def read(self, name: str) -> ObjectHeader | None:
        """The object of this name; None for nothing, and for a file that is damaged. Raises OSError."""
        header = read_object(self.path(name))
        return header if header is not None and object_name(header.key) == name else None

    def scan(self) -> Iterator[ObjectHeader]:
        """Everything held, in no order. A file that is damaged or cannot be read is passed over: it is
        not held. Raises OSError where the disk fails."""
        stored_bytes = 0
        for name in self._all_names():
            try:
                header = self.read(name)
            except OSError as error:
                self.failed_at(error, name)
                if self.state is DiskState.FAILED:
                    return
                continue
            if header is not None:
                stored_bytes += header.size_bytes
                yield header
        self.stored_bytes = stored_bytes
        self.is_counted = True

    def folders(self) -> list[str]:
        """The folders of objects, in order; none where the disk fails."""
        try:
            return sorted(_folders(f"{self.root}/{OBJECTS_FOLDER}"))
        except OSError as error:
            self.failed_at(error)
            return []

    def names(self, folder: str) -> list[str]:
        """The files of a folder, in order, that are named as objects there are; none where it fails."""
        try:
            names = sorted(_files(f"{self.root}/{OBJECTS_FOLDER}/{folder}"))
        except OSError as error:
            self.failed_at(error, folder)
            return []
        return [name for name in names if is_name(name) and name.startswith(folder)]

    def _all_names(self) -> Iterator[str]:
        for folder in _folders(f"{self.root}/{OBJECTS_FOLDER}"):
            for name in _files(f"{self.root}/{OBJECTS_FOLDER}/{folder}"):
                if is_name(name) and name.startswith(folder):
                    yield name

    def partials(self) -> Iterator[tuple[ObjectHeader, int]]:
        """What is on its way in, and how much of it takes room already."""
        for name in _files(f"{self.root}/{PARTIAL_FOLDER}"):
            path = f"{self.root}/{PARTIAL_FOLDER}/{name}"
            header = resumable(path)
            if header is not None:
                yield header, min(header.size_bytes, written_bytes(path))

    def room_for(self, header: ObjectHeader, more_bytes: float) -> int | None:
        """How much of an object may be here with so many bytes more than there are: None where they have no
        room beside what is held and what was promised to others. Raises OSError."""
        path = self.partial(header)
        here_bytes = min(header.size_bytes, written_bytes(path))
        size_bytes = int(min(header.size_bytes, here_bytes + more_bytes))
        kept_bytes = self.stored_bytes + self.promises.promised_bytes(path) + size_bytes
        if kept_bytes > self.place.capacity_bytes:
            return None
        return size_bytes if self.has_room_beside(size_bytes - here_bytes, path) else None

    def has_room_beside(self, size_bytes: int, path: str = "") -> bool:
        """Whether the file system has room for so much, for a while; `path`: for whom. Raises OSError."""
        status = os.statvfs(self.root)
        taken_bytes = self.promises.unwritten_bytes(path, written_bytes) + FREE_BYTES_MIN
        return size_bytes + taken_bytes <= status.f_bavail * status.f_frsize

    def let_go(self, size_bytes: int) -> None:
        """An object went of which nobody else says so."""
        self.stored_bytes = max(0, self.stored_bytes - size_bytes)

    def _remove_useless_partials(self) -> None:
        if os.path.exists(self.upgrade_path):
            self.disk.remove(self.upgrade_path)
        for name in _files(f"{self.root}/{PARTIAL_FOLDER}"):
            path = f"{self.root}/{PARTIAL_FOLDER}/{name}"
            header = resumable(path)
            if header is None or self.partial(header) != path:
                self.disk.remove(path)

    # --- how it is --------------------------------------------------------------------------------

    def failed_at(self, error: OSError, what: str = "") -> None:
        """An operation failed, at `what`: looks whether it is the disk that did."""
        if error.errno in _FULL:
            return
        self.errors += 1
        log.warning("disk_error", disk=self.root, at=what, error=str(error), errors=self.errors)
        self.look()
        if self._errors.add(what or f"error {self.errors}", self.clock()):
            self.fail(f"{ERRORS_MAX} different things failed on it within an hour", is_bad=True)

    def look(self) -> None:
        """Takes the disk out of use where it does not do what a disk should, and back into use one that
        was read-only and is writable again. One that failed stays so: only where none was there, one may
        come (`Store.look_at_disks`)."""
        if self.state is DiskState.FAILED:
            if self._may_write and not self.is_bad and not self.is_absent:
                self._look_whether_bad()
            return
        try:
            if os.stat(self.root).st_dev != self._device:
                self.fail("another file system, or none, is mounted there now", is_absent=True)
                return
            os.listdir(f"{self.root}/{OBJECTS_FOLDER}")
            if not self._may_write:
                return
            self._probe()
        except OSError as error:
            if error.errno == errno.EROFS:
                self._become(DiskState.READ_ONLY, "the file system is read-only")
            elif error.errno not in _FULL:
                self.fail(error.strerror or str(error), is_absent=error.errno in _NOT_THERE)
        else:
            self._become(DiskState.IN_USE, "")

    def _look_whether_bad(self) -> None:
        """It stays out of use whatever is found."""
        try:
            os.listdir(f"{self.root}/{OBJECTS_FOLDER}")
            self._probe()
        except OSError as error:
            if error.errno in _BAD:
                self._bad_looks += 1
                self.is_bad = self._bad_looks >= BAD_LOOKS
        else:
            self._bad_looks = 0

    def _probe(self) -> None:
        """Writes a small file and syncs it, as a fill would. Raises OSError."""
        path = f"{self.root}/{_PROBE_FILE}"
        descriptor = self.disk.open_for_writing(path)
        try:
            self.disk.write(descriptor, memoryview(b"sluice\n"), 0)
            self.disk.sync(descriptor)
        finally:
            os.close(descriptor)

    def fail(self, reason: str, *, is_absent: bool = False, is_bad: bool = False) -> None:
        """The disk is left alone from now on; `is_absent`, until one is there again; `is_bad`, over restarts
        too."""
        self.is_absent, self.is_bad = is_absent, is_bad
        self._become(DiskState.FAILED, reason)

    def tell_reason(self, reason: str) -> None:
        """Why it still is out of use, told once."""
        if reason != self.reason:
            self.reason = reason
            log.error("disk_not_taken_in", disk=self.root, reason=reason)

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
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]


def _files(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
