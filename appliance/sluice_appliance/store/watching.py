"""Looks at the disks again and again, so that one that fails is known before anyone asks it for an object, and
one that comes is looked on."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from sluice_appliance.store.disks import DiskPlace, DiskStatus

# A look syncs a small file: some milliseconds of a disk that rotates.
LOOK_S = 10.0


class HasDisks(Protocol):
    """The store, as far as this needs it."""

    async def look_at_disks(self) -> tuple[DiskStatus, ...]: ...
    def places(self) -> tuple[DiskPlace, ...]: ...


Places = tuple[DiskPlace, ...]


async def watch_disks(
    store: HasDisks, look_on: Callable[[Places], Awaitable[bool]], *, every_s: float = LOOK_S
) -> None:
    """Until cancelled. What changes is logged by the disk, and shown by `Store.disks`.

    `look_on` is told of all disks when there is one of which it has not been told; it is told again
    after the next look where it says that it could not. A disk that went is no news: what is looked for
    there is not found.
    """
    told = store.places()
    while True:
        await asyncio.sleep(every_s)
        await store.look_at_disks()
        there = store.places()
        if not set(there) <= set(told) and await look_on(there):
            told = there
