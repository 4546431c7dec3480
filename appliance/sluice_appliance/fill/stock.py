"""What the store holds, as the fill knows it: looked over now and then, kept up to date in between.

A look reads the page of every object, 31 us of CPU each and half a minute for a million, beside the disk's time.
So what the fill itself changes is noted, and looks take at most a hundredth of the time, or a tenth where
something was lost. Which disk of a tier an object came to is the store's to know; here it counts for its tier.
"""

import asyncio
from collections import ChainMap
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from sluice_appliance.fill.fetch import Begins
from sluice_appliance.fill.plan import Move
from sluice_appliance.fill.survey import Eviction
from sluice_appliance.fill.tally import FillTally
from sluice_appliance.store.disks import DiskContents, DiskState, DiskStatus, Tier
from sluice_appliance.store.errors import StoreError
from sluice_appliance.store.layout import ObjectHeader, ObjectKey
from sluice_runtime.logs import get_logger

log = get_logger(__name__)

# What is lost or damaged behind the fill's back is seen after so long, on a store that is looked over fast.
LOOK_OVER_S = 60.0
# What was seen more lately is good for another plan.
RECENT_S = LOOK_OVER_S / 2
# What looks may take of the time; and where something is known to be lost.
LOOK_SHARE = 0.01
LOOK_SHARE_AFTER_LOSS = 0.1


class FillStore(Begins, Protocol):
    """The store, as far as a fill needs it. Each method may raise OSError."""

    async def contents(self) -> tuple[DiskContents, ...]: ...
    async def arriving(self) -> Mapping[str, Mapping[ObjectHeader, int]]: ...
    def disks(self) -> tuple[DiskStatus, ...]: ...
    async def move(self, key: ObjectKey, to: Tier) -> bool: ...
    async def delete(self, key: ObjectKey, tier: Tier | None = None) -> None: ...
    async def keep_partials_of(self, wanted: Collection[ObjectHeader]) -> None: ...


@dataclass(slots=True)
class _Disk:
    """As it was when it was last looked over, and what was changed since."""

    tier: Tier
    held: dict[ObjectKey, ObjectHeader]


class Stock:
    """Belongs to one event loop."""

    def __init__(self, store: FillStore, tally: FillTally) -> None:
        self._store = store
        self._tally = tally
        # By name; None until the store has been looked over.
        self._disks: dict[str, _Disk] | None = None
        self._looked_at = self._took_s = 0.0
        self._is_some_lost = False
        self._stored_bytes = 0
        # What is published while the store is looked over, for a look may have passed it by; None while
        # it is not.
        self._meanwhile: list[tuple[ObjectHeader, Tier]] | None = None

    @property
    def stored_bytes(self) -> int | None:
        """Of all objects, wanted or not; None until the store has been looked over."""
        return None if self._disks is None else self._stored_bytes

    @property
    def held(self) -> Mapping[ObjectKey, ObjectHeader] | None:
        """None until the store has been looked over."""
        if self._disks is None:
            return None
        return ChainMap(*(disk.held for disk in self._disks.values()))

    def lost(self) -> None:
        """Something is held no more, and nobody says what."""
        self._is_some_lost = True

    async def contents(self) -> tuple[DiskContents, ...]:
        """Disk by disk; of those that failed nothing. Raises OSError."""
        if self._is_due():
            return await self._look_over()
        partials = await self._store.arriving()
        statuses = self._store.disks()
        assert self._disks is not None
        for status in statuses:
            if status.state is DiskState.FAILED:
                self._forget(status.name)
        return tuple(
            DiskContents(status, self._disks[status.name].held, partials.get(status.name, {}))
            for status in statuses
        )

    async def let_go(self, evictions: Iterable[Eviction]) -> None:
        """Raises OSError."""
        for eviction in evictions:
            await self._store.delete(eviction.key, eviction.tier)
            self._tally.object_evicted()
            log.info("object_evicted", key=eviction.key, tier=eviction.tier.value)
            self._take_out(eviction.key, eviction.tier)

    async def keep_partials_of(self, wanted: Collection[ObjectHeader]) -> None:
        """Raises OSError."""
        await self._store.keep_partials_of(wanted)

    async def move(self, move: Move) -> bool:
        """Whether the object stands on the other tier alone now. Raises OSError."""
        try:
            moved = await self._store.move(move.header.key, move.target)
        except StoreError as error:
            log.error("object_unmoved", key=move.header.key, reason=str(error))
            return False
        self._take_out(move.header.key)
        if moved:
            self._tally.object_moved(move.target)
            self._put_in(move.header, move.target)
        return moved

    def published(self, header: ObjectHeader, tier: Tier) -> None:
        """The store has it on that tier; another object under its key went with it."""
        if self._meanwhile is not None:
            self._meanwhile.append((header, tier))
        self._note(header, tier)

    def _note(self, header: ObjectHeader, tier: Tier) -> None:
        for disk in (self._disks or {}).values():
            there = disk.held.get(header.key)
            if there is not None and (there != header or disk.tier is tier):
                self._stored_bytes -= disk.held.pop(header.key).size_bytes
        self._put_in(header, tier)

    # --- looking ----------------------------------------------------------------------------------

    def _is_due(self) -> bool:
        if self._disks is None or self._disks.keys() != {s.name for s in self._store.disks()}:
            return True
        passed_s = _now() - self._looked_at
        if self._is_some_lost:
            return passed_s >= self._took_s / LOOK_SHARE_AFTER_LOSS
        return passed_s >= max(RECENT_S, self._took_s / LOOK_SHARE)

    async def _look_over(self) -> tuple[DiskContents, ...]:
        began_at = _now()
        self._is_some_lost = False
        published: list[tuple[ObjectHeader, Tier]] = []
        self._meanwhile = published
        try:
            contents = await self._store.contents()
        finally:
            self._meanwhile = None
        self._looked_at = _now()
        self._took_s = self._looked_at - began_at
        self._disks = {
            disk.status.name: _Disk(disk.status.tier, dict(disk.held)) for disk in contents
        }
        self._stored_bytes = sum(
            header.size_bytes for disk in self._disks.values() for header in disk.held.values()
        )
        for header, tier in published:
            self._note(header, tier)
        return tuple(replace(disk, held=self._disks[disk.status.name].held) for disk in contents)

    # --- noting -----------------------------------------------------------------------------------

    def _forget(self, name: str) -> None:
        assert self._disks is not None
        held = self._disks[name].held
        self._stored_bytes -= sum(header.size_bytes for header in held.values())
        held.clear()

    def _take_out(self, key: ObjectKey, tier: Tier | None = None) -> None:
        for disk in (self._disks or {}).values():
            if tier in (None, disk.tier) and key in disk.held:
                self._stored_bytes -= disk.held.pop(key).size_bytes

    def _put_in(self, header: ObjectHeader, tier: Tier) -> None:
        in_use = {s.name for s in self._store.disks() if s.state is DiskState.IN_USE}
        for name, disk in (self._disks or {}).items():
            if disk.tier is tier and name in in_use:
                disk.held[header.key] = header
                self._stored_bytes += header.size_bytes
                return


def _now() -> float:
    return asyncio.get_running_loop().time()
