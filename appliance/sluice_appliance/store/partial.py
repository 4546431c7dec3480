"""An object on its way in: a file under `partial/` that becomes an object only whole and verified.

The file is laid out like the object it will be, header page first, so that after a restart it says
itself what it is a part of and how far it came. Publishing costs two fsyncs and a rename.
"""

import hashlib
import os
from pathlib import Path

from sluice_appliance.store.disk import Disk
from sluice_appliance.store.errors import DigestMismatch, Incomplete, TooManyBytes
from sluice_appliance.store.layout import (
    BODY_OFFSET,
    LayoutError,
    ObjectHeader,
    ObjectKey,
    decode_header,
    encode_header,
    object_path,
)

PARTIAL_FOLDER = "partial"
# Read back this much at a time when a partial object is taken up again.
_READ_BACK_BYTES = 1024 * 1024


def partial_path(root: str, key: ObjectKey, sha256: bytes) -> str:
    """The same key and digest go on in the same file; another digest is another file."""
    return f"{root}/{PARTIAL_FOLDER}/{hashlib.sha256(key.encode() + b'/' + sha256).hexdigest()}"


class PartialObject:
    """One writer at a time. After an OSError it may be closed, and begun again by `Store.begin`."""

    def __init__(self, root: str, header: ObjectHeader, disk: Disk) -> None:
        self.header = header
        self._root = root
        self._disk = disk
        self._path = partial_path(root, header.key, header.sha256)
        self._digest = hashlib.sha256()
        self._received_bytes = 0
        self._descriptor = disk.open_for_writing(self._path)
        try:
            self._take_up()
        except BaseException:
            self.close()
            raise

    @property
    def received_bytes(self) -> int:
        """How many bytes of the body are here; the next write goes on from there."""
        return self._received_bytes

    def write(self, chunk: bytes) -> None:
        """Appends to the body. Raises TooManyBytes (and takes none of them), OSError."""
        header = self.header
        if self._received_bytes + len(chunk) > header.size_bytes:
            raise TooManyBytes(
                f"{header.key}: {self._received_bytes + len(chunk)} bytes, it has {header.size_bytes}"
            )
        self._write_at(chunk, BODY_OFFSET + self._received_bytes)
        self._digest.update(chunk)
        self._received_bytes += len(chunk)

    def publish(self) -> None:
        """Makes it an object, durable when this returns. Raises Incomplete, DigestMismatch, OSError.

        A sync that fails may have lost pages and may not say so twice (the kernel marks them clean),
        so the file is not trusted again: it is removed.
        """
        header = self.header
        if self._received_bytes < header.size_bytes:
            raise Incomplete(
                f"{header.key}: {self._received_bytes} bytes, it has {header.size_bytes}"
            )
        found = self._digest.digest()
        if found != header.sha256:
            raise DigestMismatch(
                f"{header.key}: SHA-256 is {found.hex()}, expected {header.sha256.hex()}"
            )
        try:
            self._disk.sync(self._descriptor)
        except OSError:
            self.discard()
            raise
        self.close()
        self._move_into_place()

    def discard(self) -> None:
        """Removes what was received. `Store.begin` starts at byte 0."""
        self.close()
        self._disk.remove(self._path)

    def close(self) -> None:
        """Lets the file be. `Store.begin` goes on where it stands."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _take_up(self) -> None:
        found_bytes = os.fstat(self._descriptor).st_size
        known = _read_header(self._descriptor)
        if known != self.header or found_bytes > BODY_OFFSET + self.header.size_bytes:
            os.ftruncate(self._descriptor, 0)
            self._write_at(encode_header(self.header), 0)
            return
        while data := os.pread(
            self._descriptor, _READ_BACK_BYTES, BODY_OFFSET + self._received_bytes
        ):
            self._digest.update(data)
            self._received_bytes += len(data)

    def _write_at(self, data: bytes, offset: int) -> None:
        left = memoryview(data)
        while left:
            written = self._disk.write(self._descriptor, left, offset)
            left = left[written:]
            offset += written

    def _move_into_place(self) -> None:
        target = object_path(self._root, self.header.key)
        folder = os.path.dirname(target)
        if not Path(folder).is_dir():
            self._disk.make_folder(folder)
            self._disk.sync_folder(os.path.dirname(folder))
        self._disk.rename(self._path, target)
        self._disk.sync_folder(folder)


def _read_header(descriptor: int) -> ObjectHeader | None:
    try:
        return decode_header(os.pread(descriptor, BODY_OFFSET, 0))
    except LayoutError:
        return None


def resumable(path: str) -> ObjectHeader | None:
    """What a file under `partial/` is a part of; None if it cannot be gone on with."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        header = _read_header(descriptor)
        if header is None or os.fstat(descriptor).st_size > BODY_OFFSET + header.size_bytes:
            return None
    finally:
        os.close(descriptor)
    return header
