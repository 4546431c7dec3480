"""The objects that a worker has open: a bounded cache of descriptors with their facts.

A hit costs a dictionary look-up; at most once a second an open object is asked whether its file is still
the one that was opened, by `fstat`, which no disk is read for. An object is opened at once where its
directories, inode and first page are in memory, and by a thread where they are not. A copy that its
disk does not give is passed over for another one (`spoilt.py`).
"""

import mmap
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from sluice_appliance.serving import tally
from sluice_appliance.serving.answers import Response
from sluice_appliance.serving.popularity import WorkerTable
from sluice_appliance.serving.read_ahead import ask_for, await_pages
from sluice_appliance.serving.request import ObjectFacts, describe, read_target
from sluice_appliance.serving.residency import Residency, stop_kernel_read_ahead
from sluice_appliance.serving.spoilt import SpoiltCopies, StorageFault, Tell, Unreadable, is_spoilt
from sluice_appliance.serving.windows import NOTHING, KnownPages, Piece
from sluice_appliance.store.disks import DiskPlace
from sluice_appliance.store.layout import (
    BODY_OFFSET,
    LayoutError,
    ObjectHeader,
    ObjectKey,
    decode_page,
    file_bytes,
    named_path,
    object_name,
    root_of,
)
from sluice_appliance.store.rendezvous import rank

__all__ = ["FRESH_S", "Cold", "OpenObject", "OpenObjects", "StorageFault"]

Found = TypeVar("Found")

# A file up to this size is read by one call, header and body.
FILE_READ_WHOLE_MAX = 128 * 1024
# How old an answer of `fstat` may be.
FRESH_S = 1.0


class OpenObject:
    """An object's descriptor and facts; closed when the cache has let go and nobody sends from it."""

    __slots__ = (
        "_map",
        "_popularity",
        "begins_at",
        "brought",
        "checked_at",
        "disk",
        "facts",
        "fd",
        "hits",
        "identity",
        "pages",
        "path",
        "sent_bytes",
        "slot",
        "target",
        "users",
    )

    def __init__(self, path: str, fd: int, facts: ObjectFacts, identity: tuple[int, ...]) -> None:
        self.path = path
        # The root of the disk that it is on.
        self.disk = root_of(path)
        self.fd = fd
        # Where in its file the body begins.
        self.begins_at = BODY_OFFSET
        self.facts = facts
        self.identity = identity
        self.checked_at = 0.0
        # By which it is asked for.
        self.target = b""
        # What of its body came with the opening, and what is known to be in memory of its body.
        self.brought = NOTHING
        self.pages = KnownPages(facts.size_bytes)
        # Where its hits are counted, and those that were not added there yet (`hot.py`).
        self._popularity: WorkerTable | None = None
        self.slot = 0
        self.hits = 0
        self.sent_bytes = 0
        # The cache counts as one.
        self.users = 1
        self._map: memoryview | None = None

    def count_in(self, popularity: WorkerTable, key: str) -> None:
        """Its hits are counted there until it is closed."""
        self._popularity = popularity
        self.slot = popularity.take(key)

    def add_hits(self, hits: int, sent_bytes: int) -> None:
        assert self._popularity is not None, "hits of an object that nobody counts"
        self._popularity.hits[self.slot] += hits
        self._popularity.sent_bytes[self.slot] += sent_bytes

    def copy(self, offset: int, length: int) -> bytes:
        """Of the body, read: a mapping would end the worker where the file, or its disk, does not give it
        (SIGBUS). Raises StorageFault."""
        try:
            copied = os.pread(self.fd, length, self.begins_at + offset)
        except OSError as error:
            raise StorageFault(f"{self.path}: {error.strerror}") from None
        if len(copied) < length:
            raise StorageFault(f"{self.path} ends before byte {offset + length} of its body")
        return copied

    def read_into(self, room: memoryview, offset: int) -> int:
        """`copy` to where there is room: how much of it was filled, less where the file or its disk gives no
        more. Raises StorageFault where it gives nothing."""
        try:
            size = os.preadv(self.fd, (room,), self.begins_at + offset)
        except OSError as error:
            raise StorageFault(f"{self.path}: {error.strerror}") from None
        if not size:
            raise StorageFault(f"{self.path} ends before byte {offset + len(room)} of its body")
        return size

    def piece(self, offset: int, length: int) -> memoryview:
        """Of the body, mapped: for the kernel, which says EFAULT where its disk does not give it; who
        touches it here gets SIGBUS."""
        if self._map is None:
            self._map = memoryview(mmap.mmap(self.fd, 0, prot=mmap.PROT_READ))
        start = self.begins_at + offset
        return self._map[start : start + length]

    def release(self) -> None:
        self.users -= 1
        if self.users == 0:
            self._close()
            if self._popularity is not None:
                self.add_hits(self.hits, self.sent_bytes)
                self.hits = self.sent_bytes = 0
                self._popularity.leave(self.slot)

    def _close(self) -> None:
        # A mapping outlives its descriptor and goes with its last slice.
        self._map = None
        os.close(self.fd)


class Missing(NamedTuple):
    """An object that no disk of the box has, or none gives: the reason then."""

    key: ObjectKey
    fault: str = ""


class Opened(NamedTuple):
    """An object, and the copies that would have come before it and are not what they should be."""

    found: OpenObject
    spoilt: Sequence[str]


class Cold(NamedTuple):
    """An object that a thread must open: `open` waits for the disk, for a piece of the body as well, and
    `opened` takes what it gives."""

    path: str
    open: Callable[[Piece], Opened]
    opened: Callable[[Opened], None]

    @property
    def disk(self) -> str:
        """The root of the disk that is looked at first."""
        return root_of(self.path)


class OpenObjects:
    """Finds objects by request target, least recently asked for closed first."""

    def __init__(
        self,
        disks: Sequence[DiskPlace],
        capacity: int,
        row: "memoryview[int]",
        popularity: WorkerTable,
        residency: Residency,
        *,
        tell: Tell = lambda path, offset: True,
    ) -> None:
        """`tell` is called for each copy that its disk does not give."""
        self._disks = disks
        self._capacity = capacity
        self._row = row
        self._spoilt = SpoiltCopies(row, tell)
        self._popularity = popularity
        self._residency = residency
        self._open: OrderedDict[bytes, OpenObject] = OrderedDict()

    def find(self, target: bytes, now: float) -> OpenObject | Missing | Response | Cold:
        """The object, not yet acquired; that there is none to be had from a disk; the refusal to send; or
        what must be done first."""
        if b"?" in target:
            target = target.partition(b"?")[0]
        found = self._open.get(target)
        if found is not None:
            if now - found.checked_at < FRESH_S or _is_current(found, now):
                self._open.move_to_end(target)
                return found
            self._forget(target)
        return self._open_anew(target, now)

    def find_open(self, target: bytes, now: float) -> OpenObject | None:
        """An object that is open and was looked at of late; None says nothing of it."""
        found = self._open.get(target)
        return None if found is None or now - found.checked_at >= FRESH_S else found

    def pass_over(self, found: OpenObject, offset: int, now: float) -> bool:
        """Its disk does not give it at `offset`. Whether to look for it anew may find another copy."""
        is_news = self._spoilt.add(found.path, offset, now)
        self._forget_if_open(found)
        if is_news and len(self._disks) > 1:
            self._row[tally.COPIES_PASSED_OVER] += 1
            return True
        return False

    def instead_of(self, found: OpenObject, offset: int, now: float) -> OpenObject | Cold | None:
        """The same object on another disk, for one that is being sent and comes to an end at `offset`;
        None where there is none. Once it is opened, `opened_instead` has it."""
        self._spoilt.add(found.path, offset, now)
        self._forget_if_open(found)
        there = self.opened_instead(found, now)
        if there is not None:
            return there
        key = read_target(found.target)
        assert not isinstance(key, Response), "an object without a key"
        paths = [path for path in self._paths(key) if not self._spoilt.has(path, now)]
        return self._cold(found.target, key, paths, now) if paths else None

    def opened_instead(self, found: OpenObject, now: float) -> OpenObject | None:
        there = self._open.get(found.target)
        if there is None or self._spoilt.has(there.path, now) or not _is_same(there, found):
            return None
        return there

    def tell_of(self, unreadable: Unreadable, now: float) -> None:
        """No copy of an object could be opened."""
        for path in unreadable.paths:
            self._spoilt.add(path, 0, now)

    def _open_anew(self, target: bytes, now: float) -> OpenObject | Missing | Response | Cold:
        key = read_target(target)
        if isinstance(key, Response):
            return key
        paths = self._spoilt.last(self._paths(key), now)
        try:
            found, spoilt = _open_first(
                paths, lambda path: _open_from_memory(path, key, self._residency)
            )
        except FileNotFoundError:
            return Missing(key)
        except (OSError, StorageFault) as error:
            if isinstance(error, Unreadable):
                self.tell_of(error, now)
            return Missing(key, str(error))
        if found is None:
            return self._cold(target, key, paths, now)
        self._keep(target, key, now, Opened(found, spoilt))
        return found

    def _paths(self, key: ObjectKey) -> list[str]:
        name = object_name(key)
        return [named_path(disk.root, name) for disk in rank(name, self._disks)]

    def _cold(self, target: bytes, key: ObjectKey, paths: Sequence[str], now: float) -> Cold:
        def from_disk(wanted: Piece) -> Opened:
            open_one = partial(_open_from_disk, key=key, wanted=wanted)
            return Opened(*_open_first(paths, open_one))

        return Cold(paths[0], from_disk, partial(self._keep, target, key, now))

    def _keep(self, target: bytes, key: ObjectKey, now: float, opened: Opened) -> None:
        found = opened.found
        for path in opened.spoilt:
            self._row[tally.COPIES_PASSED_OVER] += self._spoilt.add(path, 0, now)
        found.checked_at = now
        found.target = target
        if found.brought.length:
            found.pages.note(found.brought, now)
            self._row[tally.READ_AHEADS] += 1
            self._row[tally.READ_AHEAD_BYTES] += found.brought.length
        found.count_in(self._popularity, key)
        self._row[tally.OPEN_FILES] += 1
        if target in self._open:
            self._forget(target)
        self._open[target] = found
        if len(self._open) > self._capacity:
            self._forget(next(iter(self._open)))

    def _forget_if_open(self, found: OpenObject) -> None:
        if self._open.get(found.target) is found:
            self._forget(found.target)

    def _forget(self, target: bytes) -> None:
        self._open.pop(target).release()

    def close(self) -> None:
        for target in list(self._open):
            self._forget(target)


def _is_current(found: OpenObject, now: float) -> bool:
    """Whether the file is still where it was opened: a deleted or replaced one has no link left, and a
    moved one another time of change."""
    if _identity(os.fstat(found.fd)) != found.identity:
        return False
    found.checked_at = now
    return True


def _is_same(one: OpenObject, other: OpenObject) -> bool:
    """Whether they are copies of the same bytes, in different files."""
    return (
        one.path != other.path
        and one.facts.etag == other.facts.etag
        and one.facts.size_bytes == other.facts.size_bytes
    )


def _open_first(
    paths: Sequence[str], open_one: Callable[[str], Found]
) -> tuple[Found, Sequence[str]]:
    """From the first disk that has it whole, and those that have it spoilt; one that fails is passed over.
    Raises FileNotFoundError where no disk has it, OSError and StorageFault where one may have."""
    fault: Exception | None = None
    spoilt: list[str] = []
    for path in paths:
        try:
            return open_one(path), spoilt
        except FileNotFoundError as error:
            fault = fault or error
        except (OSError, StorageFault) as error:
            fault = error
            if is_spoilt(error):
                spoilt.append(path)
    assert fault is not None, "a store without a disk"
    raise Unreadable(str(fault), spoilt) if spoilt else fault


def _open_from_memory(path: str, key: ObjectKey, residency: Residency) -> OpenObject | None:
    """None where a disk must be read for it. Raises OSError and StorageFault."""
    fd = residency.open(path)
    if fd is None:
        return None
    try:
        page = residency.header(fd)
        if page is not None:
            found = _described(path, fd, key, page, os.fstat(fd))
            stop_kernel_read_ahead(fd)
            return found
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def _open_from_disk(path: str, key: ObjectKey, *, wanted: Piece) -> OpenObject:
    """Waits for the disk, for header and body in one go: who asks waits for one thread, not for two. Each
    call lets go of the interpreter lock and contends for it with the loop: a small file is read whole, of a
    larger one the piece is asked for before its header is waited for. Raises OSError and StorageFault."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        status = os.fstat(fd)
        if status.st_size <= FILE_READ_WHOLE_MAX:
            data = os.pread(fd, FILE_READ_WHOLE_MAX, 0)
            found = _described(path, fd, key, data[:BODY_OFFSET], status)
            if len(data) == status.st_size and found.facts.size_bytes:
                found.brought = Piece(0, found.facts.size_bytes)
            return found
        first, end = BODY_OFFSET + wanted.offset, min(BODY_OFFSET + wanted.end, status.st_size)
        piece_bytes = max(0, end - first)
        if piece_bytes:
            # From the header on, where it is the next.
            asked_from = first if wanted.offset else 0
            ask_for(fd, asked_from, end - asked_from)
        found = _described(path, fd, key, os.pread(fd, BODY_OFFSET, 0), status)
        stop_kernel_read_ahead(fd)
        if piece_bytes:
            await_pages(fd, first, piece_bytes)
            found.brought = Piece(wanted.offset, piece_bytes)
        return found
    except BaseException:
        os.close(fd)
        raise


def _described(
    path: str, fd: int, key: ObjectKey, page: bytes, status: os.stat_result
) -> OpenObject:
    header, version = _decoded(path, page)
    expected_bytes = file_bytes(header.size_bytes, version)
    if header.key != key or status.st_size != expected_bytes:
        raise StorageFault(
            f"{path} holds {header.key} in {status.st_size} bytes, expected {key} in {expected_bytes}"
        )
    modified = int(status.st_mtime)
    facts = describe(header.size_bytes, header.sha256, header.content_type, modified)
    return OpenObject(path, fd, facts, _identity(status))


def _decoded(path: str, page: bytes) -> tuple[ObjectHeader, int]:
    try:
        return decode_page(page)
    except LayoutError as error:
        raise StorageFault(f"{path}: {error}") from None


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_nlink, status.st_ctime_ns, status.st_size, status.st_mtime_ns)
