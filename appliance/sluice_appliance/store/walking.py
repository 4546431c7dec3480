"""The files of a store for those who only read: no lock, beside whoever owns the store."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from sluice_appliance.store.disks import DiskPlace
from sluice_appliance.store.layout import (
    BODY_OFFSET,
    OBJECTS_FOLDER,
    LayoutError,
    ObjectHeader,
    ObjectKey,
    decode_page,
    file_bytes,
    is_name,
    named_path,
    object_name,
)
from sluice_appliance.store.membership import places
from sluice_appliance.store.rendezvous import rank


class Seen(NamedTuple):
    """What a file says of itself."""

    path: str
    header: ObjectHeader | None
    version: int
    # Why there is no header.
    reason: str


def objects_of(disk: DiskPlace) -> Iterator[str]:
    """The path of each object's file, in order. Raises OSError."""
    folder = f"{disk.root}/{OBJECTS_FOLDER}"
    for part in sorted(os.listdir(folder)):
        if len(part) == 2:
            for name in sorted(os.listdir(f"{folder}/{part}")):
                if is_name(name):
                    yield f"{folder}/{part}/{name}"


def paths_of(root: Path, keys: Sequence[ObjectKey]) -> Iterator[tuple[ObjectKey, list[str]]]:
    """Where each of the keys is held, in the order in which it is looked for. Raises OSError."""
    disks = places(root, failed=True)
    for key in keys:
        name = object_name(key)
        paths = [named_path(disk.root, name) for disk in rank(name, disks)]
        yield key, [path for path in paths if os.path.exists(path)]


def look(path: str) -> Seen:
    """By the page and the length alone: the body is not read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            header, version = decode_page(os.pread(descriptor, BODY_OFFSET, 0))
            found, expected = os.fstat(descriptor).st_size, file_bytes(header.size_bytes, version)
        finally:
            os.close(descriptor)
    except (OSError, LayoutError) as error:
        return Seen(path, None, 0, str(error))
    if found != expected:
        return Seen(path, None, version, f"it has {found} bytes, expected {expected}")
    return Seen(path, header, version, "")
