"""The objects that a worker has open: a bounded cache of descriptors with their facts.

A hit costs a dictionary look-up; at most once a second each open object is compared with what its
path names now, so that deletes and replacements are seen. Opening reads one page of the disk on the
event loop: the one place where a cold disk can hold a worker up.
"""

import mmap
import os
from collections import OrderedDict

from sluice_appliance.serving import tally
from sluice_appliance.serving.request import (
    ObjectFacts,
    Response,
    absent,
    describe,
    read_target,
    refuse,
)
from sluice_appliance.store.layout import (
    BODY_OFFSET,
    LayoutError,
    ObjectKey,
    decode_header,
    object_path,
)

# How old an answer of `stat` may be.
FRESH_S = 1.0


class StorageFault(Exception):
    """A disk or a file on it does not give what it should."""


class OpenObject:
    """An object's descriptor and facts; closed when the cache has let go and nobody sends from it."""

    __slots__ = ("_map", "checked_at", "facts", "fd", "identity", "path", "users")

    def __init__(self, path: str, fd: int, facts: ObjectFacts, identity: tuple[int, ...]) -> None:
        self.path = path
        self.fd = fd
        self.facts = facts
        self.identity = identity
        self.checked_at = 0.0
        # The cache counts as one.
        self.users = 1
        self._map: memoryview | None = None

    def body(self) -> memoryview:
        """The whole file mapped, for TLS in user space: from the page cache to the cipher, no copy."""
        if self._map is None:
            self._map = memoryview(mmap.mmap(self.fd, 0, prot=mmap.PROT_READ))
        return self._map

    def release(self) -> None:
        self.users -= 1
        if self.users == 0:
            # A mapping outlives its descriptor and goes with its last slice.
            self._map = None
            os.close(self.fd)


class OpenObjects:
    """Finds objects by request target, least recently asked for closed first."""

    def __init__(self, root: str, capacity: int, row: "memoryview[int]") -> None:
        self._root = root
        self._capacity = capacity
        self._row = row
        self._open: OrderedDict[bytes, OpenObject] = OrderedDict()

    def find(self, target: bytes, now: float) -> OpenObject | Response:
        """The object, not yet acquired, or the refusal to send."""
        if b"?" in target:
            target = target.partition(b"?")[0]
        found = self._open.get(target)
        if found is not None:
            if now - found.checked_at < FRESH_S or self._is_current(found, now):
                self._open.move_to_end(target)
                return found
            self._forget(target)
        return self._open_anew(target, now)

    def _open_anew(self, target: bytes, now: float) -> OpenObject | Response:
        key = read_target(target)
        if isinstance(key, Response):
            return key
        try:
            found = _open_object(self._root, key)
        except FileNotFoundError:
            self._row[tally.ABSENT_OBJECTS] += 1
            return absent()
        except (OSError, StorageFault):
            self._row[tally.REFUSED_STORAGE] += 1
            return refuse(500, "the object cannot be read here")
        found.checked_at = now
        self._row[tally.OPEN_FILES] += 1
        self._open[target] = found
        if len(self._open) > self._capacity:
            self._forget(next(iter(self._open)))
        return found

    def _is_current(self, found: OpenObject, now: float) -> bool:
        try:
            current = _identity(os.stat(found.path)) == found.identity
        except OSError:
            return False
        found.checked_at = now
        return current

    def _forget(self, target: bytes) -> None:
        self._open.pop(target).release()

    def close(self) -> None:
        for target in list(self._open):
            self._forget(target)


def _open_object(root: str, key: ObjectKey) -> OpenObject:
    path = object_path(root, key)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        header = decode_header(os.pread(fd, BODY_OFFSET, 0))
        status = os.fstat(fd)
        if header.key != key or status.st_size != BODY_OFFSET + header.size_bytes:
            raise StorageFault(
                f"{path} holds {header.key} in {status.st_size} bytes, expected {key} in"
                f" {BODY_OFFSET + header.size_bytes}"
            )
    except LayoutError as error:
        os.close(fd)
        raise StorageFault(f"{path}: {error}") from None
    except BaseException:
        os.close(fd)
        raise
    facts = describe(header.size_bytes, header.sha256, header.content_type)
    return OpenObject(path, fd, facts, _identity(status))


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
