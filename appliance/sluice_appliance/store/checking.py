"""Checks one object's file against what it says of itself: page, length, trailer, every block.

It is read past the page cache (`O_DIRECT`): the cache would hide what the disk has lost, and would
let go of what players ask for. Rot is found by the digests of the blocks, 0.2 ms a MiB; a file of version 1
has none and is hashed whole, 0.8 ms a MiB.
"""

import errno
import fcntl
import hashlib
import mmap
import os
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from enum import Enum
from itertools import chain

from sluice_appliance.store.blocks import block_digest
from sluice_appliance.store.layout import (
    BLOCK_BYTES,
    BLOCK_DIGEST_BYTES,
    BODY_OFFSET,
    LayoutError,
    ObjectHeader,
    decode_page,
    decode_trailer,
    object_name,
    trailer_bytes,
    trailer_offset,
)
from sluice_appliance.store.reading import ObjectFile, open_object

_PAGE_BYTES = 4096


class Verdict(Enum):
    """What was found of a file; the label of metrics."""

    SOUND = "sound"
    # Sound, and was of version 1 until now.
    UPGRADED = "upgraded"
    # Other bytes than it should have.
    DAMAGED = "damaged"
    # The disk does not give its bytes.
    UNREADABLE = "unreadable"
    # It was let go, or replaced, while it was looked at.
    GONE = "gone"


LOST = frozenset((Verdict.DAMAGED, Verdict.UNREADABLE))


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of a check."""

    path: str
    verdict: Verdict
    # None where the page cannot be read.
    header: ObjectHeader | None = None
    version: int = 0
    # Why it is not sound, for people.
    reason: str = ""
    # Device and inode: by them it is known whether the path still names what was checked.
    identity: tuple[int, int] = (0, 0)


class Scratch:
    """The memory that one check after the other reads into: `O_DIRECT` wants whole pages."""

    def __init__(self) -> None:
        self.view = memoryview(mmap.mmap(-1, BLOCK_BYTES))


def check(
    path: str, scratch: Scratch, *, whole: bool = False, suspect_byte: int = 0
) -> Generator[int, None, Finding]:
    """Yields the bytes of each read, so that who drives it may wait in between, and returns what was found.
    `whole`: the SHA-256 too, where the digests of the blocks would do. It begins with the block of
    `suspect_byte` where blocks can be told apart."""
    try:
        with open_object(path) as there:
            status = os.fstat(there.descriptor)
            identity = (status.st_dev, status.st_ino)
            reason = yield from _check_open(there, path, scratch, whole, suspect_byte)
            verdict = Verdict.DAMAGED if reason else Verdict.SOUND
            return Finding(path, verdict, there.header, there.version, reason, identity)
    except FileNotFoundError:
        return Finding(path, Verdict.GONE)
    except LayoutError as error:
        return Finding(path, Verdict.DAMAGED, reason=str(error), identity=_identity(path))
    except OSError as error:
        reason = error.strerror or str(error)
        return Finding(path, Verdict.UNREADABLE, reason=reason, identity=_identity(path))


def is_current(finding: Finding) -> bool:
    """Whether the path still names the file that was checked."""
    return finding.identity != (0, 0) and _identity(finding.path) == finding.identity


def _check_open(
    there: ObjectFile, path: str, scratch: Scratch, whole: bool, suspect_byte: int
) -> Generator[int, None, str]:
    header = there.header
    if object_name(header.key) != os.path.basename(path):
        return f"it is {header.key}, under the name of another"
    descriptor = _open_direct(there.descriptor)
    try:
        yield from _check_ends(there, descriptor, scratch)
        digest = hashlib.sha256() if whole or there.block_digests is None else None
        for start in _starts(header.size_bytes, suspect_byte if digest is None else 0):
            length = min(BLOCK_BYTES, header.size_bytes - start)
            block = _read(descriptor, BODY_OFFSET + start, length, scratch)
            yield len(block)
            if len(block) < length:
                return f"it ends at byte {start + len(block)}"
            if there.block_digests is not None:
                at = start // BLOCK_BYTES * BLOCK_DIGEST_BYTES
                expected = there.block_digests[at : at + BLOCK_DIGEST_BYTES]
                if block_digest(block) != expected:
                    return f"block {start // BLOCK_BYTES} is not what it was"
            if digest is not None:
                digest.update(block)
        if digest is not None and digest.digest() != header.sha256:
            return f"SHA-256 is {digest.hexdigest()}, expected {header.sha256.hex()}"
    finally:
        os.close(descriptor)
    return ""


def _starts(size_bytes: int, suspect_byte: int) -> Iterable[int]:
    """Where the blocks begin, from that of the suspect byte on and round to it."""
    starts = range(0, size_bytes, BLOCK_BYTES)
    first = min(suspect_byte // BLOCK_BYTES, len(starts))
    return chain(starts[first:], starts[:first])


def _check_ends(there: ObjectFile, descriptor: int, scratch: Scratch) -> Generator[int, None, None]:
    """Page and trailer as the disk has them, whatever the cache says. Raises LayoutError, OSError."""
    header = there.header
    page = bytes(_read(descriptor, 0, BODY_OFFSET, scratch))
    yield len(page)
    if decode_page(page) != (header, there.version):
        raise LayoutError("the disk has another header page than the cache")
    if there.block_digests is not None and trailer_bytes(header.size_bytes) <= BLOCK_BYTES:
        at, length = trailer_offset(header.size_bytes), trailer_bytes(header.size_bytes)
        trailer = bytes(_read(descriptor, at, length, scratch))
        yield len(trailer)
        decode_trailer(header, trailer)


def _open_direct(descriptor: int) -> int:
    """The same file again, past the page cache where its file system can."""
    path = f"/proc/self/fd/{descriptor}"
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.dup(descriptor)


def _read(descriptor: int, offset: int, length: int, scratch: Scratch) -> memoryview:
    """Fewer bytes only at the end of the file. `offset` is a whole page's. Raises OSError."""
    wanted = -(-length // _PAGE_BYTES) * _PAGE_BYTES
    read = 0
    while read < length:
        try:
            got = os.preadv(descriptor, [scratch.view[read:wanted]], offset + read)
        except OSError as error:
            flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
            if error.errno != errno.EINVAL or not flags & os.O_DIRECT:
                raise
            # Of another granularity than pages.
            fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~os.O_DIRECT)
            continue
        if got == 0:
            break
        read += got
    return scratch.view[: min(read, length)]


def _identity(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path, follow_symlinks=False)
    except OSError:
        return (0, 0)
    return status.st_dev, status.st_ino
