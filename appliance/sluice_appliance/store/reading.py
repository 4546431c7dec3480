"""Reads an object's file: what it says of itself, its bytes, the digests of its blocks."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sluice_appliance.store.layout import (
    BODY_OFFSET,
    WITH_BLOCKS,
    LayoutError,
    ObjectHeader,
    decode_page,
    decode_trailer,
    file_bytes,
    trailer_bytes,
    trailer_offset,
)


@dataclass(frozen=True, slots=True)
class ObjectFile:
    """An object that is open."""

    header: ObjectHeader
    version: int
    # None where the file has none.
    block_digests: bytes | None
    descriptor: int

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the body; fewer where the file was cut short. Raises OSError."""
        return os.pread(self.descriptor, length, BODY_OFFSET + offset)


@contextmanager
def open_object(path: str) -> Iterator[ObjectFile]:
    """Raises FileNotFoundError, OSError, and LayoutError where page, length or trailer are wrong."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        header, version = decode_page(os.pread(descriptor, BODY_OFFSET, 0))
        found, expected = os.fstat(descriptor).st_size, file_bytes(header.size_bytes, version)
        if found != expected:
            raise LayoutError(f"{path} has {found} bytes, expected {expected} for {header.key}")
        digests = _digests(descriptor, header) if version == WITH_BLOCKS else None
        yield ObjectFile(header, version, digests, descriptor)
    finally:
        os.close(descriptor)


def _digests(descriptor: int, header: ObjectHeader) -> bytes:
    at, length = trailer_offset(header.size_bytes), trailer_bytes(header.size_bytes)
    return decode_trailer(header, os.pread(descriptor, length, at))
