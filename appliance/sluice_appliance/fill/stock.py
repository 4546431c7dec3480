"""What the store holds, as the fill knows it: looked over now and then, kept up to date in between.

A look reads the page of every object, 31 us of CPU each and half a minute for a million, beside the disk's time.
So what the fill itself changes is noted, and looks take at most a hundredth of the time, or a tenth where
something was lost. Which disk of a tier an object came to is the store's to know; here it counts for its tier.
"""

import asyncio
from collections import ChainMap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from sluice_appliance.fill.fetch import Begins
from sluice_appliance.fill.holdings import Holdings
from sluice_appliance.fill.plan import Move
from sluice_appliance.fill.shelves import content_of, holdings
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
        # The same by tier and title, of the disks that are in use: each with the state it was in.
        self._by_tier: dict[Tier, Holdings] = {}
        self._by_tier_of: tuple[tuple[str, DiskState], ...] = ()
        self._looked_at = self._took_s = 0.0
        self._is_some_lost = False
        # Changes that were made during the look that is under way: it may have passed by before.
        self._is_looking = False
        self._meanwhile: list[Callable[[], None]] = []
        self._stored_bytes = 0

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

    @property
    def by_tier(self) -> Mapping[Tier, Holdings]:
        """Of the disks in use, as `contents` told of them last, and what was changed since."""
        return self._by_tier

    def lost(self) -> None:
        """Something came or went, and nobody says what."""
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
        contents = tuple(
            DiskContents(status, self._disks[status.name].held, partials.get(status.name, {}))
            for status in statuses
        )
        if self._by_tier_of != _states(contents):
            self._group(contents)
        return contents

    async def let_go(self, evictions: Iterable[Eviction]) -> None:
        """Raises OSError."""
        for eviction in evictions:
            with self._unsure_if_broken_off():
                await self._store.delete(eviction.key, eviction.tier)
            self._tally.object_evicted()
            log.info("object_evicted", key=eviction.key, tier=eviction.tier.value)
            self._note(partial(self._take_out, eviction.key, eviction.tier))

    async def keep_partials_of(self, wanted: Collection[ObjectHeader]) -> None:
        """Raises OSError."""
        await self._store.keep_partials_of(wanted)

    async def move(self, move: Move) -> bool:
        """Whether the object stands on the other tier alone now. Raises OSError."""
        try:
            with self._unsure_if_broken_off():
                moved = await self._store.move(move.header.key, move.target)
        except StoreError as error:
            log.error("object_unmoved", key=move.header.key, reason=str(error))
            return False
        self._note(partial(self._take_out, move.header.key))
        if moved:
            self._tally.object_moved(move.target)
            self._note(partial(self._put_in, move.header, move.target))
        return moved

    @contextmanager
    def _unsure_if_broken_off(self) -> Iterator[None]:
        """What was begun may have been done."""
        try:
            yield
        except BaseException:
            self.lost()
            raise

    def published(self, header: ObjectHeader, tier: Tier) -> None:
        """The store has it on that tier; another object under its key went with it."""
        self._note(partial(self._publish, header, tier))

    def _publish(self, header: ObjectHeader, tier: Tier) -> None:
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
        self._tally.looked_over()
        self._is_some_lost = False
        self._is_looking = True
        try:
            contents = await self._store.contents()
        except BaseException:
            self._meanwhile = []
            raise
        finally:
            self._is_looking = False
        self._looked_at = _now()
        self._took_s = self._looked_at - began_at
        self._disks = {
            disk.status.name: _Disk(disk.status.tier, dict(disk.held)) for disk in contents
        }
        self._stored_bytes = sum(
            header.size_bytes for disk in self._disks.values() for header in disk.held.values()
        )
        for change in self._meanwhile:
            change()
        self._meanwhile = []
        contents = tuple(
            DiskContents(disk.status, self._disks[disk.status.name].held, disk.partial)
            for disk in contents
        )
        self._group(contents)
        return contents

    def _group(self, contents: Sequence[DiskContents]) -> None:
        self._by_tier = holdings(map(content_of, contents))
        self._by_tier_of = _states(contents)

    # --- noting -----------------------------------------------------------------------------------

    def _note(self, change: Callable[[], None]) -> None:
        change()
        if self._is_looking:
            self._meanwhile.append(change)

    def _forget(self, name: str) -> None:
        assert self._disks is not None
        held = self._disks[name].held
        self._stored_bytes -= sum(header.size_bytes for header in held.values())
        held.clear()

    def _take_out(self, key: ObjectKey, tier: Tier | None = None) -> None:
        for disk in (self._disks or {}).values():
            if tier in (None, disk.tier) and key in disk.held:
                self._stored_bytes -= disk.held.pop(key).size_bytes
        self._regroup(key)

    def _put_in(self, header: ObjectHeader, tier: Tier) -> None:
        in_use = {s.name for s in self._store.disks() if s.state is DiskState.IN_USE}
        for name, disk in (self._disks or {}).items():
            if disk.tier is tier and name in in_use:
                there = disk.held.get(header.key)
                disk.held[header.key] = header
                self._stored_bytes += header.size_bytes - (there.size_bytes if there else 0)
                break
        self._regroup(header.key)

    def _regroup(self, key: ObjectKey) -> None:
        """After a change of that object."""
        in_use = {name for name, state in self._by_tier_of if state is DiskState.IN_USE}
        disks = [disk for name, disk in (self._disks or {}).items() if name in in_use]
        for tier, held in self._by_tier.items():
            there = [disk.held[key] for disk in disks if disk.tier is tier and key in disk.held]
            if there:
                held.put(there[-1])
            elif key in held:
                held.pop(key)


def _states(contents: Sequence[DiskContents]) -> tuple[tuple[str, DiskState], ...]:
    return tuple((disk.status.name, disk.status.state) for disk in contents)


def _now() -> float:
    return asyncio.get_running_loop().time()
