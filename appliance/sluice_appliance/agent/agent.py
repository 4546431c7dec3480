"""The box's life with the control plane: enrol once, then beat, watch, fill and report side by side.

The manifest of the last run is in force before anybody is asked, so that a box that starts while the
control plane is gone knows what it should hold.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path

import grpc.aio

from sluice_appliance.agent.demand_reporter import DemandReporter, DemandService
from sluice_appliance.agent.enrolment import EnrolmentRequest, enrol, load_verifier
from sluice_appliance.agent.last_known_good import ManifestInForce
from sluice_appliance.agent.reporter import (
    ApplianceService,
    HeartbeatReporter,
    Standing,
    Vitals,
)
from sluice_appliance.agent.tally import AgentTally
from sluice_appliance.agent.title_demand import TitleDemand
from sluice_appliance.agent.token_keys import TokenKeysInForce, follow_token_keys
from sluice_appliance.fill.bookkeeper import Bookkeeper
from sluice_appliance.fill.intake import ReadsSources
from sluice_appliance.fill.pressure import Load
from sluice_appliance.fill.progress import FillProgress
from sluice_appliance.fill.reporter import FillReporter
from sluice_appliance.fill.reputation import Reputation
from sluice_appliance.fill.service import BoxReport, FillService
from sluice_appliance.fill.tally import FillTally
from sluice_appliance.fill.worker import FillSettings, FillStore, FillWorker
from sluice_appliance.pull.catalog import Catalog, FillCatalog
from sluice_runtime.logs import get_logger
from sluice_runtime.rpc import TlsFiles, open_channel

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """What the agent needs of the box's configuration."""

    enrolment: EnrolmentRequest
    control_plane: str
    # Where the manifest in force is kept.
    manifest: Path
    # Where the token keys are kept, as signed and as workers read them.
    signed_token_keys: Path
    token_keys: Path
    fill: FillSettings


class Agent:
    """Runs until cancelled. `vitals` says how the box is, but for what the agent knows itself."""

    def __init__(
        self,
        settings: AgentSettings,
        standing: Standing,
        *,
        store: FillStore,
        reader: ReadsSources,
        fill_tally: FillTally,
        tally: AgentTally,
        demand: TitleDemand,
        vitals: Callable[[int], Vitals],
        books: Bookkeeper,
        load: Callable[[], Load],
        rng: random.Random,
        reputation: Reputation | None = None,
        catalog: Catalog | None = None,
    ) -> None:
        """`reputation`: of sources, where others read from them too. `catalog` is joined to the control
        plane as soon as the box is."""
        self._settings = settings
        self._standing = standing
        self._store = store
        self._reader = reader
        self._fill_tally = fill_tally
        self._tally = tally
        self._demand = demand
        self._vitals = vitals
        self._books = books
        self._load = load
        self._rng = rng
        self._reputation = reputation
        self._catalog = catalog
        self._worker: FillWorker | None = None
        self._heart: HeartbeatReporter | None = None

    @property
    def connected(self) -> bool:
        """Whether the control plane heard the last heartbeat."""
        return self._heart is not None and self._heart.connected

    @property
    def enrolled(self) -> bool:
        return self._worker is not None

    def progress(self) -> FillProgress | None:
        """None until there is a manifest and the store has been looked over."""
        return None if self._worker is None else self._worker.progress()

    def objects_lost(self) -> None:
        """They come again at once, where the box fills at all."""
        if self._worker is not None:
            self._worker.objects_lost()

    def stored_bytes(self) -> int | None:
        """None until the store has been looked over."""
        return None if self._worker is None else self._worker.stored_bytes()

    def flash_left_bytes(self) -> float:
        """What may be written to flash now; nothing is known of a limit until there is a manifest."""
        return inf if self._worker is None else self._worker.flash_left_bytes()

    def wrote_flash(self, size_bytes: int) -> None:
        self._books.wrote_flash(size_bytes)

    def take_flash(self, size_bytes: int) -> bool:
        """Whether so many bytes may be written to flash; if so, they count as written."""
        if size_bytes > self.flash_left_bytes():
            return False
        self.wrote_flash(size_bytes)
        return True

    def fill_roi(self) -> float:
        """Bytes sent to players for each byte fetched."""
        return self._books.accounts.roi.ratio

    def postponed_titles(self) -> int:
        return 0 if self._worker is None else self._worker.postponed_titles

    async def run(self) -> None:
        request = self._settings.enrolment
        await enrol(request, on_failure=self._tally.enrolment_failed)
        async with open_channel(
            self._settings.control_plane, TlsFiles.in_folder(request.identity)
        ) as channel:
            await self._live(channel)

    async def _live(self, channel: grpc.aio.Channel) -> None:
        service = FillService(
            channel,
            appliance=self._standing.appliance,
            incarnation=self._standing.incarnation,
            box=lambda: BoxReport(
                self._store.disks(), self._books.filled_bytes, self._books.sent_bytes
            ),
        )
        reporter = FillReporter(service.report, progress=self.progress, tally=self._fill_tally)
        self._worker = worker = FillWorker(
            store=self._store,
            reader=self._reader,
            lister=service,
            tally=self._fill_tally,
            books=self._books,
            settings=self._settings.fill,
            rng=self._rng,
            on_progress=reporter.changed,
            load=self._load,
            reputation=self._reputation,
        )
        if self._catalog is not None:
            self._catalog.joined(FillCatalog(channel, appliance=self._standing.appliance))
        self._heart = heart = HeartbeatReporter(
            ApplianceService(channel, self._standing),
            vitals=lambda: self._vitals(worker.stored_bytes() or 0),
            on_found=reporter.changed,
            on_sent=self._tally.heartbeat_sent,
            on_failed=self._tally.heartbeat_failed,
        )
        keys = TokenKeysInForce(
            self._settings.signed_token_keys,
            self._settings.token_keys,
            verifier=load_verifier(self._settings.enrolment.identity),
            tally=self._tally,
        )
        await keys.load()
        demand = DemandReporter(
            DemandService(
                channel,
                appliance=self._standing.appliance,
                incarnation=self._standing.incarnation,
            ).report,
            self._demand,
            self._tally,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(demand.run())
            group.create_task(follow_token_keys(channel, keys, rng=self._rng))
            group.create_task(heart.run())
            group.create_task(self._watch(service, worker, reporter))
            group.create_task(worker.run())
            group.create_task(reporter.run())

    async def _watch(
        self, service: FillService, worker: FillWorker, reporter: FillReporter
    ) -> None:
        in_force = ManifestInForce(
            self._settings.manifest,
            verifier=load_verifier(self._settings.enrolment.identity),
            appliance=self._standing.appliance,
            tally=self._fill_tally,
        )
        last = await in_force.load()
        if last is not None:
            worker.want(last)

        def broke(reason: str) -> None:
            log.info("manifest_watch_broke", reason=reason)
            reporter.changed()

        async for signed in service.manifests(
            lambda: in_force.revision, rng=self._rng, on_break=broke
        ):
            manifest = await in_force.take(signed)
            if manifest is not None:
                worker.want(manifest)
