"""Keeps the store at what the manifest says, round after round.

A round looks at what is held, plans by the manifest's policy, lets go, moves what leaves flash, has a few
objects at a time fetched, and moves to flash what belongs there. A new manifest, a window that opens or
closes, a disk that fails begin the next round at once: what the new plan names goes on, the rest stops
where it stands. A round that could not do all it wanted is done again after a wait that doubles up to
a bound; one that could is looked over again from time to time, so that what was lost comes back.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf

from sluice_appliance.fill.bookkeeper import Bookkeeper
from sluice_appliance.fill.crew import Crew, Outcome
from sluice_appliance.fill.fetch import Fetcher, ObjectUnfetched
from sluice_appliance.fill.intake import Intake, ReadsSources
from sluice_appliance.fill.lookout import Lookout
from sluice_appliance.fill.manifest import Manifest
from sluice_appliance.fill.pace import Pace
from sluice_appliance.fill.plan import Fetch, FillPlan, Move, plan_fill
from sluice_appliance.fill.policy import NO_LIMITS, FillPolicy, Priority
from sluice_appliance.fill.pressure import Load
from sluice_appliance.fill.progress import FillProgress, measure
from sluice_appliance.fill.purse import Purse
from sluice_appliance.fill.reputation import Reputation
from sluice_appliance.fill.shelves import content_of, shelve
from sluice_appliance.fill.source_book import (
    ListsSources,
    Name,
    SourceBook,
    SourcesNotDue,
    SourcesUnknown,
)
from sluice_appliance.fill.spending import Spending
from sluice_appliance.fill.stock import LOOK_OVER_S, FillStore, Stock
from sluice_appliance.fill.tally import FillTally
from sluice_appliance.store.disks import DiskContents, DiskState, Tier
from sluice_appliance.store.layout import ObjectHeader
from sluice_runtime.lifecycle import Backoff
from sluice_runtime.logs import get_logger

__all__ = ["FillSettings", "FillStore", "FillWorker"]

log = get_logger(__name__)

_RETRY = Backoff(initial_s=1.0, longest_s=30.0)
# While it fetches: demand, budgets and the link's slots move on.
_PLAN_ANEW_S = 300.0


@dataclass(frozen=True, slots=True)
class FillSettings:
    """From the configuration."""

    concurrency: int
    stall_s: float


class FillWorker:
    """Runs until cancelled; `want` may be called at any time."""

    def __init__(
        self,
        *,
        store: FillStore,
        reader: ReadsSources,
        lister: ListsSources,
        tally: FillTally,
        books: Bookkeeper,
        settings: FillSettings,
        rng: random.Random,
        on_progress: Callable[[], None],
        load: Callable[[], Load] | None = None,
        reputation: Reputation | None = None,
    ) -> None:
        self._store = store
        self._tally = tally
        self._books = books
        self._rng = rng
        self._on_progress = on_progress
        self._pace = Pace()
        self._stock = Stock(store, tally)
        # An empty one is as false as none.
        reputation = Reputation() if reputation is None else reputation
        intake = Intake(reader, tally, reputation, self._pace, stall_s=settings.stall_s)
        self._fetcher = Fetcher(store, intake, tally, unsure=self._stock.lost)
        self._sources = SourceBook(lister)
        self._spending = Spending(
            books, self._pace, tally, promised_bytes=lambda tier: self._crew.promised_bytes(tier)
        )
        self._crew = Crew(
            self._fetch,
            lambda fetch: self._spending.purse(fetch, self._priority(fetch)),
            self._is_urgent,
            concurrency=settings.concurrency,
        )
        self._lookout = Lookout(
            books,
            self._pace,
            tally,
            standing=self._standing,
            outdated=self._plan_anew,
            is_busy=lambda: not self._crew.is_idle,
            load=load,
            renew_slot=self._spending.renew_slot,
        )
        self._manifest: Manifest | None = None
        self._priorities: Mapping[Name, Priority] = {}
        self._outdated = asyncio.Event()
        self._failures = 0
        self.postponed_titles = 0

    @property
    def policy(self) -> FillPolicy:
        """That of the manifest in force."""
        return NO_LIMITS if self._manifest is None else self._manifest.policy

    def want(self, manifest: Manifest) -> None:
        """From now on this is what the store should hold."""
        self._manifest = manifest
        self._spending.policy = manifest.policy
        self._priorities = {
            (title.title, title.version): title.priority for title in manifest.titles
        }
        self._pace.change_rate(manifest.policy.rate_bits_per_s_max)
        self._failures = 0
        self._plan_anew()

    def objects_lost(self) -> None:
        """Something is held no more: it is looked for, and planned for, at once."""
        self._stock.lost()
        self._plan_anew()

    def progress(self) -> FillProgress | None:
        """None until there is a manifest and the store has been looked over."""
        held = self._stock.held
        if self._manifest is None or held is None:
            return None
        return measure(self._manifest, held)

    def stored_bytes(self) -> int | None:
        """Bytes of all objects held, wanted or not; None until the store has been looked over."""
        return self._stock.stored_bytes

    def flash_left_bytes(self) -> float:
        """What may be written to flash now."""
        return self._spending.flash_left_bytes()

    async def run(self) -> None:
        await self._books.open()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._crew.run())
                group.create_task(self._lookout.run())
                group.create_task(self._rounds())
        finally:
            await self._books.save()

    # --- rounds -----------------------------------------------------------------------------------

    async def _rounds(self) -> None:
        while True:
            wait_s = await self._round_unless_outdated()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s * self._rng.uniform(0.75, 1.0)):
                    await self._outdated.wait()

    async def _round_unless_outdated(self) -> float:
        """How long to wait for the next one. A look at the store is not broken off: it would be begun
        again."""
        taken = self._crew.taken()
        try:
            contents = await self._stock.contents()
        except OSError as error:
            self._disk_failed(error)
            return self._retry_s()
        self._outdated.clear()
        if self._manifest is None:
            return LOOK_OVER_S
        async with asyncio.TaskGroup() as group:
            work = group.create_task(self._round(self._manifest, contents, taken))
            change = group.create_task(self._outdated.wait())
            await asyncio.wait([work, change], return_when=asyncio.FIRST_COMPLETED)
            work.cancel()
            change.cancel()
        return 0.0 if work.cancelled() else work.result()

    async def _round(
        self,
        manifest: Manifest,
        contents: Sequence[DiskContents],
        taken: Mapping[ObjectHeader, int],
    ) -> float:
        try:
            plan = self._plan(manifest, contents)
            await self._let_go(plan)
            await self._move(plan.demote)
            self._on_progress()
            self._crew.order(plan.fetch, taken)
            if not await self._fetched():
                return 0.0
            await self._move(plan.promote)
        except OSError as error:
            self._disk_failed(error)
            return self._retry_s()
        return self._wait_s(self._crew.outcome)

    def _plan(self, manifest: Manifest, contents: Sequence[DiskContents]) -> FillPlan:
        sizes = [wanted.size_bytes for title in manifest.titles for wanted in title.objects]
        disks = map(content_of, contents)
        shelves = shelve(disks, self._stock.by_tier, largest_bytes=max(sizes, default=0))
        self._spending.flash_capacity_bytes = sum(
            disk.status.capacity_bytes
            for disk in contents
            if disk.status.tier is Tier.SSD and disk.status.state is DiskState.IN_USE
        )
        plan = plan_fill(manifest.titles, shelves, self._spending.may()) if shelves else _NOTHING
        self._sources.want({(fetch.title, fetch.version) for fetch in plan.fetch})
        self._spending.renew_slot()
        self.postponed_titles = len(plan.postponed)
        _tell(manifest, plan)
        return plan

    async def _let_go(self, plan: FillPlan) -> None:
        await self._crew.keep_only(plan.fetch)
        await self._stock.keep_partials_of(frozenset(plan.awaited))
        await self._stock.let_go(plan.evict)

    async def _move(self, moves: Sequence[Move]) -> None:
        for move in moves:
            await self._pace.turn()
            if await self._stock.move(move) and move.target is Tier.SSD:
                self._books.wrote_flash(move.header.size_bytes)

    async def _fetched(self) -> bool:
        """Whether all that was ordered was tried, before it is time for another plan."""
        opening = self._books.opening(self.policy)
        left_s = inf if opening is None else opening.closes_at - self._books.wall()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.05, min(_PLAN_ANEW_S, left_s))):
                await self._crew.until_idle()
        return self._crew.is_idle

    def _wait_s(self, outcome: Outcome) -> float:
        if outcome.failed:
            return self._retry_s()
        self._failures = 0
        return min(LOOK_OVER_S, outcome.wait_s)

    def _retry_s(self) -> float:
        self._failures += 1
        return _RETRY.delay_s(self._failures)

    # --- one fetch --------------------------------------------------------------------------------

    async def _fetch(self, fetch: Fetch, purse: Purse, outcome: Outcome) -> None:
        wanted = fetch.wanted
        try:
            sources, found = await self._sources.look_up(fetch.title, fetch.version)
            published = await self._fetcher.fetch(
                wanted,
                sources,
                tier=fetch.tier,
                block_digests=found.block_digests.get(wanted.key),
                purse=purse,
            )
        except SourcesNotDue as error:
            outcome.wait_s = min(outcome.wait_s, error.in_s)
        except (ObjectUnfetched, SourcesUnknown) as error:
            log.warning("object_unfetched", key=wanted.key, reason=str(error))
            outcome.failed += 1
        except OSError as error:
            self._disk_failed(error)
            outcome.failed += 1
        else:
            if published:
                self._stock.published(wanted, fetch.tier)
                log.info("object_published", key=wanted.key, size_bytes=wanted.size_bytes)
                self._on_progress()

    def _priority(self, fetch: Fetch) -> Priority:
        return self._priorities.get((fetch.title, fetch.version), Priority.NORMAL)

    def _is_urgent(self, fetch: Fetch) -> bool:
        return self._priority(fetch) is Priority.EMERGENCY

    # --- what changes by itself -------------------------------------------------------------------

    def _plan_anew(self) -> None:
        self._outdated.set()

    def _standing(self) -> object:
        states = tuple((disk.name, disk.state) for disk in self._store.disks())
        return self._books.opening(self.policy), self._books.is_stopped(self.policy), states

    def _disk_failed(self, error: OSError) -> None:
        self._tally.disk_failed()
        log.error("store_failed", error=error.strerror or str(error), errno=error.errno)


_NOTHING = FillPlan((), (), (), (), (), (), 0, ())


def _tell(manifest: Manifest, plan: FillPlan) -> None:
    if plan.fetch or plan.evict or plan.without_room or plan.postponed:
        log.info(
            "fill_planned",
            manifest_revision=manifest.revision,
            fetch_objects=len(plan.fetch),
            fetch_bytes=sum(fetch.take_bytes for fetch in plan.fetch),
            evict_objects=len(plan.evict),
            move_objects=len(plan.demote) + len(plan.promote),
            titles_postponed=len(plan.postponed),
            titles_without_room=len(plan.without_room),
        )
