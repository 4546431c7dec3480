"""The disks of a store as values: what is configured, where objects go, and how a disk is."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from sluice_appliance.store.layout import ObjectHeader, ObjectKey


class Tier(Enum):
    """What kind of disk; the fastest first. The label of metrics and the word of the configuration."""

    SSD = "ssd"
    HDD = "hdd"


class DiskState(Enum):
    """Whether a disk may be used."""

    IN_USE = "in_use"
    # It is read; it takes and loses nothing.
    READ_ONLY = "read_only"
    # It is left alone, and what it held counts as gone.
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class DiskSpec:
    """A disk as an operator names it."""

    path: Path
    capacity_bytes: int
    # None: as the kernel says.
    tier: Tier | None = None


@dataclass(frozen=True, slots=True)
class DiskPlace:
    """What must be known of a disk to find an object on it."""

    root: str
    # Drawn when the disk was taken into the store, kept on it: it may be mounted elsewhere later.
    disk_id: str
    tier: Tier = Tier.SSD
    capacity_bytes: int = 1


@dataclass(frozen=True, slots=True)
class DiskStatus:
    """How a disk is; maps on `sluice.fill.v1.DiskReport`."""

    # Its path in the configuration.
    name: str
    tier: Tier
    state: DiskState
    # Why, for people; empty while it is in use.
    reason: str
    capacity_bytes: int
    stored_bytes: int
    # Operations that failed since the start.
    errors: int
    # Different things that failed within the last hour (`error_window.py`).
    errors_of_late: int = 0
    # Damaged files that the quarantine had no room for, since the start.
    discarded: int = 0
    # Whether all that is on it has been added up. Until then `stored_bytes` is what came less what went.
    is_counted: bool = True


@dataclass(frozen=True, slots=True)
class DiskContents:
    """One disk and what is on it."""

    status: DiskStatus
    held: Mapping[ObjectKey, ObjectHeader]
    # What is on its way in, and the bytes of it that take room already.
    partial: Mapping[ObjectHeader, int]
