"""Which disks are a store's: written down in the store's folder, and on each disk itself.

The store's folder has `disks.json`, by which `import`, `serve` and `store` know the disks as `run` does; each
disk has `disk.json`, by which a disk is known wherever it is mounted, and another store's is refused.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from sluice_appliance.store.disks import DiskPlace, Tier
from sluice_appliance.store.errors import DiskRefused
from sluice_runtime.files import write_atomically

T = TypeVar("T")

RECORD_FILE = "disks.json"
IDENTITY_FILE = "disk.json"


class Identity(msgspec.Struct, frozen=True):
    """What a disk says of itself."""

    store: str
    disk: str


class KnownDisk(msgspec.Struct, frozen=True):
    """A disk that the store has had."""

    # Absolute; `.` for the store's own folder, which may be moved.
    path: str
    disk: str
    tier: str
    capacity_bytes: int
    # Whether a file system of its own was mounted there.
    mounted: bool
    # Why it is left alone until somebody says otherwise (`store readmit`); empty where it is not.
    failed: str = ""


class Record(msgspec.Struct, frozen=True):
    """What the store's folder says."""

    store: str
    disks: tuple[KnownDisk, ...] = ()


def read_record(root: Path) -> Record | None:
    """None where the store has no disks but its own folder. Raises DiskRefused, OSError."""
    return _read(root / RECORD_FILE, Record)


def write_record(root: Path, record: Record) -> None:
    write_atomically(root / RECORD_FILE, msgspec.json.format(msgspec.json.encode(record)))


def read_identity(disk: Path) -> Identity | None:
    """None where the folder is no disk of any store. Raises DiskRefused, OSError."""
    return _read(disk / IDENTITY_FILE, Identity)


def write_identity(disk: Path, identity: Identity) -> None:
    write_atomically(disk / IDENTITY_FILE, msgspec.json.encode(identity))


def places(root: Path, *, failed: bool = False) -> tuple[DiskPlace, ...]:
    """Where objects of the store may be, for those who only read; `failed`: on disks that are left alone
    too. Raises DiskRefused, OSError."""
    record = read_record(root)
    if record is None or not record.disks:
        return (DiskPlace(str(root), ""),)
    return tuple(
        DiskPlace(str(root / known.path), known.disk, Tier(known.tier), known.capacity_bytes)
        for known in record.disks
        if failed or not known.failed
    )


def remember_failed(root: Path, reasons: Mapping[str, str]) -> None:
    """Why disks are left alone from now on, by their identities. Raises DiskRefused, OSError."""
    record = read_record(root)
    assert record is not None, "a store of several disks has written them down"
    disks = tuple(
        msgspec.structs.replace(known, failed=reasons.get(known.disk, known.failed))
        for known in record.disks
    )
    if disks != record.disks:
        write_record(root, Record(record.store, disks))


def readmit(root: Path, path: Path) -> str:
    """The disk at `path` is used again from the next start on; returns why it was not. Raises DiskRefused,
    OSError."""
    record = read_record(root)
    for known in record.disks if record else ():
        if (root / known.path).absolute() == path.absolute():
            if not known.failed:
                raise DiskRefused(f"{path} is not left alone")
            remember_failed(root, {known.disk: ""})
            return known.failed
    raise DiskRefused(f"{path} is no disk of the store {root}")


def is_mount_point(folder: Path) -> bool:
    return os.path.ismount(folder)


def refuse_twins(folders: Sequence[Path]) -> None:
    """Raises DiskRefused where two of them are one."""
    seen: dict[tuple[int, int], Path] = {}
    for folder in folders:
        try:
            status = os.stat(folder)
        except OSError:
            continue
        twin = seen.setdefault((status.st_dev, status.st_ino), folder)
        if twin is not folder:
            raise DiskRefused(f"{folder} is the same folder as {twin}")


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise DiskRefused(f"{path}: {error}") from None
