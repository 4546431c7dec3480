"""Looks at the disks again and again, so that one that fails is known before anyone asks it for an object."""

import asyncio
from typing import Protocol

from sluice_appliance.store.disks import DiskStatus

# A look syncs a small file: some milliseconds of a disk that rotates.
LOOK_S = 10.0


class HasDisks(Protocol):
    """The store, as far as this needs it."""

    async def look_at_disks(self) -> tuple[DiskStatus, ...]: ...


async def watch_disks(store: HasDisks, *, every_s: float = LOOK_S) -> None:
    """Until cancelled. What changes is logged by the disk, and shown by `Store.disks`."""
    while True:
        await asyncio.sleep(every_s)
        await store.look_at_disks()
