"""An object on its way in: a file under `partial/` that becomes an object only whole and verified.

The file is laid out like the object it will be, header page first, so that after a restart it says
itself what it is a part of and how far it came. Where the digests of its blocks are known they are
written first: blocks may then come in any order, and those that are here are found again by reading
what is no hole. Publishing costs two fsyncs and a rename.
"""

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sluice_appliance.store.assembly import Assembly, Span
from sluice_appliance.store.blocks import spans_of_blocks
from sluice_appliance.store.disk import Disk
from sluice_appliance.store.errors import (
    BlockMismatch,
    DigestMismatch,
    Incomplete,
    TooManyBytes,
)
from sluice_appliance.store.layout import (
    BLOCK_BYTES,
    BODY_OFFSET,
    WITH_BLOCKS,
    LayoutError,
    ObjectHeader,
    ObjectKey,
    decode_page,
    decode_trailer,
    encode_header,
    encode_trailer,
    file_bytes,
    object_path,
    trailer_bytes,
    trailer_offset,
)
from sluice_appliance.store.whole_digest import WholeDigest

PARTIAL_FOLDER = "partial"
# Blocks of one object that are written at a time, each by its thread; two that are a multiple of it apart wait
# for each other. A prime, as streams go on side by side at distances of whole pieces.
_BLOCKS_AT_ONCE = 13


def partial_path(root: str, key: ObjectKey, sha256: bytes) -> str:
    """The same key and digest go on in the same file; another digest is another file."""
    return f"{root}/{PARTIAL_FOLDER}/{hashlib.sha256(key.encode() + b'/' + sha256).hexdigest()}"


class PartialObject:
    """One owner at a time, several threads of whom may write. After an OSError it may be closed, and
    begun again by `Store.begin`."""

    def __init__(
        self,
        root: str,
        header: ObjectHeader,
        disk: Disk,
        *,
        block_digests: bytes | None = None,
        path: str | None = None,
        published: Callable[[], None] = lambda: None,
        closed: Callable[[], None] = lambda: None,
        failed: Callable[[OSError], None] = lambda error: None,
    ) -> None:
        self.header = header
        self.root = root
        self._disk = disk
        self._published = published
        self._closed = closed
        self._failed = failed
        self._path = path or partial_path(root, header.key, header.sha256)
        # Of a block, while it is written and hashed; of what is here, while that is looked at or changed.
        self._block_locks = [threading.Lock() for _ in range(_BLOCKS_AT_ONCE)]
        self._lock = threading.Lock()
        self._whole = WholeDigest(header.size_bytes)
        self._room = bytearray()
        self._assembly = Assembly(header.size_bytes, block_digests)
        self._descriptor = disk.open_for_writing(self._path)
        try:
            self._take_up(block_digests)
        except BaseException:
            self.close()
            raise
        self._cursor = self.received_bytes

    @property
    def received_bytes(self) -> int:
        """How many bytes of the body are here without a gap from the first."""
        return self._assembly.received_bytes

    def missing(self) -> tuple[Span, ...]:
        """What is to come. Each span may be written by itself where the digests of blocks are known, and
        is taken up in the middle of a block only until the partial is closed."""
        with self._lock:
            return self._assembly.missing()

    def write(self, chunk: bytes | memoryview) -> None:
        """Goes on behind the last `write`, at first behind what is here without a gap.
        Raises as `write_at` does."""
        try:
            self.write_at(self._cursor, chunk)
        except BlockMismatch:
            self._cursor = self.received_bytes
            raise
        self._cursor += len(chunk)

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """Bytes of the body; those that are here already are passed over.

        Raises TooManyBytes (and takes none of them), NotInOrder, BlockMismatch, OSError.
        """
        header = self.header
        end = offset + len(data)
        if end > header.size_bytes:
            raise TooManyBytes(f"{header.key}: {end} bytes, it has {header.size_bytes}")
        view = memoryview(data)
        with self._telling_of_failures():
            for block, start, until in spans_of_blocks(offset, end):
                piece = view[start - offset : until - offset]
                with self._block_locks[block % _BLOCKS_AT_ONCE]:
                    is_new = self._write_block(block, start, piece)
                self._hash_on(Span(start, until), piece if is_new else None)

    def _write_block(self, block: int, start: int, piece: memoryview) -> bool:
        """Whether none of it was here."""
        until = start + len(piece)
        with self._lock:
            self._assembly.check_order(block, start)
            here = max(start, min(until, self._assembly.goes_on_at(block)))
            growing = self._assembly.growing(block, here) if here < until else None
        if growing is None:
            return False
        fresh = piece[here - start :]
        self._write_at(fresh, BODY_OFFSET + here)
        growing.hasher.update(fresh)
        with self._lock:
            self._assembly.settle(block, growing, len(fresh))
        return here == start

    def _hash_on(self, span: Span, data: "bytes | memoryview | None") -> None:
        """The digest of the whole goes on with blocks that are here, while others are written. `data`: what
        stands in the file at `span`, where it is at hand."""

        def read(start: int, size_bytes: int) -> "bytes | memoryview":
            if data is not None and span == (start, start + size_bytes):
                return data
            return self._read_back(start, size_bytes)

        self._whole.hash_on(lambda: self._assembly.whole_blocks_bytes, read)

    def publish(self) -> None:
        """Makes it an object, durable when this returns. Raises Incomplete, DigestMismatch, OSError.

        A sync that fails may have lost pages and may not say so twice (the kernel marks them clean),
        so the file is not trusted again: it is removed.
        """
        header = self.header
        if self._assembly.missing():
            raise Incomplete(
                f"{header.key}: {self.received_bytes} bytes, it has {header.size_bytes}"
            )
        with self._telling_of_failures():
            self._publish()
        self._published()
        self._closed()

    def _publish(self) -> None:
        header = self.header
        self._whole.hash_rest(self._read_back)
        found = self._whole.sha256()
        if found != header.sha256:
            raise DigestMismatch(
                f"{header.key}: SHA-256 is {found.hex()}, expected {header.sha256.hex()}"
            )
        self._write_trailer(self._assembly.digests)
        try:
            self._disk.sync(self._descriptor)
        except OSError:
            self.discard()
            raise
        # Its room is given back once it is counted as an object.
        self._close_file()
        self._move_into_place()

    def discard(self) -> None:
        """Removes what was received. `Store.begin` starts at byte 0."""
        self.close()
        self._disk.remove(self._path)

    def close(self) -> None:
        """Lets the file be, and gives its room back. `Store.begin` goes on where it stands."""
        self._close_file()
        self._closed()

    def _close_file(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    # --- what is here already ---------------------------------------------------------------------

    def _take_up(self, expected: bytes | None) -> None:
        page = _read_page(self._descriptor)
        found_bytes = os.fstat(self._descriptor).st_size
        longest = file_bytes(self.header.size_bytes, WITH_BLOCKS)
        if page is None or page[0] != self.header or found_bytes > longest:
            os.ftruncate(self._descriptor, 0)
            page = None
        if page is None or page[1] != WITH_BLOCKS:
            self._write_at(memoryview(encode_header(self.header, WITH_BLOCKS)), 0)
        known = None if page is None else self._read_trailer()
        if expected is not None and expected != known:
            self._write_trailer(expected)
        elif known is not None:
            expected = known
        self._assembly = Assembly(self.header.size_bytes, expected)
        if page is not None:
            if expected is None:
                self._take_up_prefix(found_bytes)
            else:
                self._take_up_blocks()

    def _take_up_prefix(self, found_bytes: int) -> None:
        """Where no digest tells what is right, only the end of what was written is known."""
        end = min(found_bytes, BODY_OFFSET + self.header.size_bytes)
        end = min(end, os.lseek(self._descriptor, 0, os.SEEK_HOLE)) - BODY_OFFSET
        for block, start, until in spans_of_blocks(0, max(0, end)):
            data = os.pread(self._descriptor, until - start, BODY_OFFSET + start)
            self._assembly.take(block, start, data)
            self._hash_on(Span(start, until), data)
            if len(data) < until - start:
                return

    def _take_up_blocks(self) -> None:
        """Reads the blocks that may be here, holes aside; one that is not right is missing."""
        size_bytes = self.header.size_bytes
        start = 0
        while start < size_bytes:
            data_at = _next_data(self._descriptor, BODY_OFFSET + start) - BODY_OFFSET
            block = max(start, data_at) // BLOCK_BYTES
            start, end = block * BLOCK_BYTES, min(size_bytes, (block + 1) * BLOCK_BYTES)
            if start >= size_bytes:
                return
            data = os.pread(self._descriptor, end - start, BODY_OFFSET + start)
            if len(data) == end - start:
                with suppress(BlockMismatch):
                    self._assembly.take(block, start, data)
                    self._hash_on(Span(start, end), data)
            start = end

    def _read_trailer(self) -> bytes | None:
        size_bytes = self.header.size_bytes
        trailer = os.pread(self._descriptor, trailer_bytes(size_bytes), trailer_offset(size_bytes))
        try:
            return decode_trailer(self.header, trailer)
        except LayoutError:
            return None

    # --- writing ----------------------------------------------------------------------------------

    @contextmanager
    def _telling_of_failures(self) -> Iterator[None]:
        """Whoever answers for the disk hears of what fails on it."""
        try:
            yield
        except OSError as error:
            self._failed(error)
            raise

    def _write_trailer(self, digests: bytes) -> None:
        trailer = encode_trailer(self.header, digests)
        self._write_at(memoryview(trailer), trailer_offset(self.header.size_bytes))

    def _write_at(self, left: memoryview, offset: int) -> None:
        while left:
            written = self._disk.write(self._descriptor, left, offset)
            left = left[written:]
            offset += written

    def _read_back(self, start: int, size_bytes: int) -> memoryview:
        """Good until the next time: one thread hashes at a time, and memory that was used before is had
        without page faults."""
        if len(self._room) < size_bytes:
            self._room = bytearray(size_bytes)
        room = memoryview(self._room)[:size_bytes]
        read_bytes = os.preadv(self._descriptor, [room], BODY_OFFSET + start)
        if read_bytes < size_bytes:
            ends = f"{self.header.key}: its file ends at byte {start + read_bytes}"
            raise OSError(errno.EIO, ends)
        return room

    def _move_into_place(self) -> None:
        target = object_path(self.root, self.header.key)
        folder = os.path.dirname(target)
        if not Path(folder).is_dir():
            self._disk.make_folder(folder)
            self._disk.sync_folder(os.path.dirname(folder))
        self._disk.rename(self._path, target)
        self._disk.sync_folder(folder)


def _next_data(descriptor: int, offset: int) -> int:
    """Where the next bytes are that are no hole; the end of the file where there are none."""
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return max(offset, os.fstat(descriptor).st_size)


def _read_page(descriptor: int) -> tuple[ObjectHeader, int] | None:
    try:
        return decode_page(os.pread(descriptor, BODY_OFFSET, 0))
    except LayoutError:
        return None


def written_bytes(path: str) -> int:
    """How much of the body takes room already; 0 where there is no file. Raises OSError."""
    try:
        return max(0, os.stat(path).st_blocks * 512 - BODY_OFFSET)
    except FileNotFoundError:
        return 0


def resumable(path: str) -> ObjectHeader | None:
    """What a file under `partial/` is a part of; None if it cannot be gone on with."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        page = _read_page(descriptor)
        size_bytes = os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
    if page is None or size_bytes > file_bytes(page[0].size_bytes, WITH_BLOCKS):
        return None
    return page[0]
