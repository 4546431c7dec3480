"""The disks of the box as the plan sees them: one shelf for each tier, and what stands there.

Which disk of a tier an object goes to is the store's to choose. So that whatever it chose the next object
fits on one of them, a shelf of n disks keeps room for n - 1 of the largest objects free: were every
disk too full for an object, all together would have less than n of it left.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sluice_appliance.fill.holdings import Holdings
from sluice_appliance.store.disks import DiskContents, DiskState, Tier
from sluice_appliance.store.layout import ObjectHeader, ObjectKey

__all__ = [
    "DiskContent",
    "DiskState",
    "Partial",
    "Shelf",
    "Tier",
    "content_of",
    "holdings",
    "shelve",
]


class Partial(NamedTuple):
    """An object on its way in, and how much of it has come."""

    header: ObjectHeader
    arrived_bytes: int


@dataclass(frozen=True, slots=True)
class DiskContent:
    """One disk and what is on it."""

    tier: Tier
    capacity_bytes: int
    held: Mapping[ObjectKey, ObjectHeader]
    partial: Mapping[ObjectKey, Partial] = field(default_factory=dict)
    state: DiskState = DiskState.IN_USE


@dataclass(frozen=True, slots=True)
class Shelf:
    """One tier."""

    tier: Tier
    capacity_bytes: int
    held: Mapping[ObjectKey, ObjectHeader]
    partial: Mapping[ObjectKey, Partial] = field(default_factory=dict)
    # Served from disks that take nothing: it needs no room and cannot be let go.
    fixed: Mapping[ObjectKey, ObjectHeader] = field(default_factory=dict)


def content_of(disk: DiskContents) -> DiskContent:
    """A disk as the store tells of it."""
    return DiskContent(
        disk.status.tier,
        disk.status.capacity_bytes,
        disk.held,
        {header.key: Partial(header, arrived) for header, arrived in disk.partial.items()},
        disk.status.state,
    )


def holdings(disks: Iterable[DiskContent]) -> dict[Tier, Holdings]:
    """What the disks in use hold, of each tier that has one."""
    of_tiers: dict[Tier, list[DiskContent]] = {}
    for disk in disks:
        if disk.state is DiskState.IN_USE:
            of_tiers.setdefault(disk.tier, []).append(disk)
    return {
        tier: Holdings(header for disk in of_tier for header in disk.held.values())
        for tier, of_tier in of_tiers.items()
    }


def shelve(
    disks: Iterable[DiskContent], held: Mapping[Tier, Holdings], *, largest_bytes: int
) -> tuple[Shelf, ...]:
    """The tiers that have a disk which is read, the fastest first. `held`: by those in use, which outlives
    the plan. `largest_bytes`: of an object that is wanted."""
    there = [disk for disk in disks if disk.state is not DiskState.FAILED]
    return tuple(
        _shelf(tier, of_tier, held.get(tier, {}), largest_bytes)
        for tier in Tier
        if (of_tier := [disk for disk in there if disk.tier is tier])
    )


def _shelf(
    tier: Tier,
    disks: list[DiskContent],
    held: Mapping[ObjectKey, ObjectHeader],
    largest_bytes: int,
) -> Shelf:
    in_use = [disk for disk in disks if disk.state is DiskState.IN_USE]
    kept_free = largest_bytes * max(0, len(in_use) - 1)
    return Shelf(
        tier,
        max(0, sum(disk.capacity_bytes for disk in in_use) - kept_free),
        held,
        {key: partial for disk in in_use for key, partial in disk.partial.items()},
        {
            key: header
            for disk in disks
            if disk.state is DiskState.READ_ONLY
            for key, header in disk.held.items()
        },
    )
