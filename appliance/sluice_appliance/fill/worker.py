"""Keeps the store at what the manifest says, round after round.

A round looks at what is held, plans, lets go, then fetches a few objects at a time. A new manifest ends
the round that is under way (what it had of an object stays, and is gone on with) and starts the next.
A round that could not do all it wanted is done again after a wait that doubles up to a bound; one
that could is looked over again from time to time, so that what was lost by hand comes back.
"""

import asyncio
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from sluice_appliance.fill.fetch import Begins, Fetcher, ObjectUnfetched, ReadsSources
from sluice_appliance.fill.manifest import Manifest
from sluice_appliance.fill.plan import Fetch, FillPlan, plan_fill
from sluice_appliance.fill.progress import FillProgress, measure
from sluice_appliance.fill.shelves import Shelf, Tier
from sluice_appliance.fill.sources import Source
from sluice_appliance.fill.tally import FillTally
from sluice_appliance.store.layout import ObjectHeader, ObjectKey
from sluice_runtime.lifecycle import Backoff
from sluice_runtime.logs import get_logger

log = get_logger(__name__)

# A peer, a few other sites, the origin: more would only delay the wait that follows.
SOURCES_MAX = 8
_RETRY = Backoff(initial_s=1.0, longest_s=30.0)
_LOOK_OVER_S = 60.0


class FillStore(Begins, Protocol):
    """The store, as far as a fill needs it. Each method may raise OSError."""

    async def inventory(self) -> dict[ObjectKey, ObjectHeader]: ...
    async def delete(self, key: ObjectKey) -> None: ...
    async def keep_partials_of(self, wanted: Collection[ObjectHeader]) -> None: ...


class SourcesUnknown(Exception):
    """The control plane cannot be asked now."""


class ListsSources(Protocol):
    """The control plane, as far as a fetch needs it."""

    async def list_sources(self, title: str, version: str) -> Sequence[Source]:
        """Best first. Raises SourcesUnknown."""
        ...


class FillWorker:
    """Runs until cancelled; `want` may be called at any time."""

    def __init__(
        self,
        *,
        store: FillStore,
        reader: ReadsSources,
        lister: ListsSources,
        tally: FillTally,
        capacity_bytes: int,
        concurrency: int,
        stall_s: float,
        rng: random.Random,
        on_progress: Callable[[], None],
    ) -> None:
        self._store = store
        self._fetcher = Fetcher(store, reader, tally, stall_s=stall_s)
        self._lister = lister
        self._tally = tally
        self._capacity_bytes = capacity_bytes
        self._concurrency = concurrency
        self._rng = rng
        self._on_progress = on_progress
        self._manifest: Manifest | None = None
        self._wanted_anew = asyncio.Event()
        self._held: dict[ObjectKey, ObjectHeader] | None = None
        self._last_sources: dict[str, Sequence[Source]] = {}

    def want(self, manifest: Manifest) -> None:
        """From now on this is what the store should hold."""
        self._manifest = manifest
        self._wanted_anew.set()

    def look_over(self) -> None:
        """What is held has changed by itself: plans anew at once."""
        self._wanted_anew.set()

    def progress(self) -> FillProgress | None:
        """None until there is a manifest and the store has been looked over."""
        if self._manifest is None or self._held is None:
            return None
        return measure(self._manifest, self._held)

    def stored_bytes(self) -> int:
        """Bytes of all objects held, wanted or not; 0 until the store has been looked over."""
        return sum(header.size_bytes for header in (self._held or {}).values())

    async def run(self) -> None:
        failures = 0
        while True:
            complete = await self._round_unless_wanted_anew()
            failures = 0 if complete else failures + 1
            wait_s = _LOOK_OVER_S if complete else _RETRY.delay_s(failures)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s * self._rng.uniform(0.75, 1.0)):
                    await self._wanted_anew.wait()
                    failures = 0

    async def _round_unless_wanted_anew(self) -> bool:
        """Whether all that there is room for is held."""
        self._wanted_anew.clear()
        async with asyncio.TaskGroup() as group:
            work = group.create_task(self._round(self._manifest))
            change = group.create_task(self._wanted_anew.wait())
            await asyncio.wait([work, change], return_when=asyncio.FIRST_COMPLETED)
            work.cancel()
            change.cancel()
        return not work.cancelled() and work.result()

    async def _round(self, manifest: Manifest | None) -> bool:
        try:
            self._held = held = await self._store.inventory()
            if manifest is None:
                return True
            plan = plan_fill(manifest.titles, [Shelf(Tier.SSD, self._capacity_bytes, held)])
            self._say(manifest, plan)
            self._forget_sources(plan)
            await self._let_go(plan, held)
            self._on_progress()
        except OSError as error:
            self._disk_failed(error)
            return False
        return await self._fetch_all(plan.fetch, held)

    async def _let_go(self, plan: FillPlan, held: dict[ObjectKey, ObjectHeader]) -> None:
        await self._store.keep_partials_of(plan.awaited)
        for eviction in plan.evict:
            await self._store.delete(eviction.key)
            del held[eviction.key]
            self._tally.object_evicted()
            log.info("object_evicted", key=eviction.key)

    async def _fetch_all(
        self, fetches: Sequence[Fetch], held: dict[ObjectKey, ObjectHeader]
    ) -> bool:
        """A few at a time, begun in order."""
        left = iter(fetches)
        async with asyncio.TaskGroup() as group:
            hands = [
                group.create_task(self._fetch_some(left, held))
                for _ in range(min(self._concurrency, len(fetches)))
            ]
        return all(hand.result() for hand in hands)

    async def _fetch_some(self, left: Iterator[Fetch], held: dict[ObjectKey, ObjectHeader]) -> bool:
        complete = True
        for fetch in left:
            try:
                await self._fetcher.fetch(fetch.wanted, await self._sources(fetch))
            except (ObjectUnfetched, SourcesUnknown) as error:
                log.warning("object_unfetched", key=fetch.wanted.key, reason=str(error))
                complete = False
            except OSError as error:
                self._disk_failed(error)
                complete = False
            else:
                held[fetch.wanted.key] = fetch.wanted
                log.info(
                    "object_published", key=fetch.wanted.key, size_bytes=fetch.wanted.size_bytes
                )
                self._on_progress()
        return complete

    async def _sources(self, fetch: Fetch) -> Sequence[Source]:
        """The control plane's answer; while it cannot be asked, its last one."""
        name = f"{fetch.title}/{fetch.version}"
        try:
            sources = await self._lister.list_sources(fetch.title, fetch.version)
        except SourcesUnknown:
            if name not in self._last_sources:
                raise
        else:
            self._last_sources[name] = sources[:SOURCES_MAX]
        return self._last_sources[name]

    def _forget_sources(self, plan: FillPlan) -> None:
        wanted = {f"{fetch.title}/{fetch.version}" for fetch in plan.fetch}
        self._last_sources = {k: v for k, v in self._last_sources.items() if k in wanted}

    def _disk_failed(self, error: OSError) -> None:
        self._tally.disk_failed()
        log.error("store_failed", error=error.strerror or str(error), errno=error.errno)

    def _say(self, manifest: Manifest, plan: FillPlan) -> None:
        if plan.fetch or plan.evict or plan.without_room:
            log.info(
                "fill_planned",
                manifest_revision=manifest.revision,
                fetch_objects=len(plan.fetch),
                fetch_bytes=sum(fetch.wanted.size_bytes for fetch in plan.fetch),
                evict_objects=len(plan.evict),
                titles_without_room=len(plan.without_room),
            )
