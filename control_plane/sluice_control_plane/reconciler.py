"""Turns the truth into what is published: which titles are live, the manifests, the steering map.

Whoever changes something says which part; changes that come together are worked off together. A round
that fails is tried again and leaves what was published as it was.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from sluice.fill.v1 import fill_pb2
from sluice_control_plane.content.liveness import becomes_live
from sluice_control_plane.content.storage import set_live
from sluice_control_plane.content.titles import is_live, version_name
from sluice_control_plane.database import Database
from sluice_control_plane.fill.manifests import wanted_at
from sluice_control_plane.fleet.appliances import Appliance
from sluice_control_plane.fleet.health import Health
from sluice_control_plane.fleet.monitor import FleetMonitor
from sluice_control_plane.fleet.storage import keep_belief
from sluice_control_plane.metrics import Metrics
from sluice_control_plane.placing import Placed, Placing
from sluice_control_plane.publishing import Publisher
from sluice_control_plane.steering.compiler import SteeringInput, compile_map
from sluice_control_plane.steering.partition import TooManyBlocks
from sluice_control_plane.steering.snapshot import Zone, snapshot
from sluice_control_plane.truth import Part, Truth, read_again, titles_in_order
from sluice_runtime.logs import get_logger

log = get_logger(__name__)

# A rack that loses power falls silent within some milliseconds: one map for all of it.
ROUND_EVERY_S = 0.1
RETRY_AFTER_S = 1.0
_PLACING = frozenset({Part.FLEET, Part.TITLES, Part.DEMAND})
_TELLING = frozenset({Part.TITLES, Part.DEMAND})


@dataclass(frozen=True, slots=True)
class Clocks:
    """Real ones come from `main` alone."""

    # Seconds since 1970.
    wall: Callable[[], float]
    # Seconds that never go back.
    steady: Callable[[], float]


class Reconciler:
    """One round at a time. `truth` and `steering` are those of the last round."""

    def __init__(
        self,
        database: Database,
        monitor: FleetMonitor,
        publisher: Publisher,
        *,
        zone: Zone,
        placing: Placing,
        clocks: Clocks,
        metrics: Metrics,
    ) -> None:
        self.truth = Truth()
        self.steering: SteeringInput | None = None
        self._database = database
        self._monitor = monitor
        self._publisher = publisher
        self._zone = zone
        self._placing = placing
        self._clocks = clocks
        self._metrics = metrics
        # Who should hold which titles; for each title the appliances of each site that should; and what the
        # manifests that were published last stand on, beside titles and demand.
        self._placed: Placed = {}
        self._wanted_at: Mapping[str, Mapping[str, Sequence[str]]] = {}
        self._told: tuple[Placed, Mapping[str, fill_pb2.FillPolicy]] | None = None
        self._changed: set[Part] = set(Part)
        # Appliances whose belief is not in the database yet.
        self._beliefs: set[str] = set()
        self._news = asyncio.Event()
        self._news.set()

    def touch(self, part: Part, appliance_ids: Iterable[str] = ()) -> None:
        """Something changed; with HEALTH, of whom."""
        self._changed.add(part)
        self._beliefs.update(appliance_ids)
        self._news.set()

    async def run(self) -> None:
        """Rounds until cancelled, at most one in ROUND_EVERY_S."""
        while True:
            await self._news.wait()
            try:
                await self.round()
            except (SQLAlchemyError, OSError, TooManyBlocks) as error:
                self._metrics.reconcile_failures.inc()
                log.error("reconcile_failed", error=str(error), retry_in_s=RETRY_AFTER_S)
                await asyncio.sleep(RETRY_AFTER_S)
            await asyncio.sleep(ROUND_EVERY_S)

    async def round(self) -> None:
        """Works off all changes so far. Raises SQLAlchemyError, after which they are still there."""
        self._news.clear()
        parts, self._changed = self._changed, set()
        try:
            await self._round(parts)
        except BaseException:
            self._changed |= parts
            self._news.set()
            raise

    async def _round(self, parts: set[Part]) -> None:
        async with self._database.read() as connection:
            self.truth = await read_again(connection, self.truth, parts)
        if await self._make_live():
            async with self._database.read() as connection:
                self.truth = await read_again(connection, self.truth, {Part.TITLES})
            parts = parts | {Part.TITLES}
        if Part.TITLES in parts:
            await self._publisher.publish_titles(titles_in_order(self.truth))
        if Part.DEMAND in parts:
            await self._placing.follow_demand(self.truth)
        if parts & _PLACING:
            await self._publish_manifests(parts)
        await self._publish_map()

    async def _keep_beliefs(self) -> None:
        # Taken before the write: who changes during it is written again.
        keeping, self._beliefs = self._beliefs, set()
        try:
            async with self._database.write() as connection:
                for appliance_id in sorted(keeping):
                    belief = self._monitor.belief(appliance_id)
                    await keep_belief(connection, appliance_id, belief)
        except BaseException:
            self._beliefs |= keeping
            raise

    async def _make_live(self) -> bool:
        """Marks the titles that have enough copies now; says whether there were any."""
        truth = self.truth
        placed = await self._placing.place(truth)
        if placed is not self._placed:
            self._wanted_at = await asyncio.to_thread(wanted_at, placed, truth.fleet.values())
            self._placed = placed
        up = {each for each in truth.fleet if self._health(each) is Health.UP}
        ready = [
            title_id
            for title_id, sites in self._wanted_at.items()
            if not is_live(truth.catalog[title_id])
            and becomes_live(sites, up=up, complete_at=self._holding(title_id))
        ]
        if ready:
            async with self._database.write() as connection:
                await set_live(connection, ready)
            log.info("titles_live", titles=ready)
        return bool(ready)

    async def _publish_manifests(self, parts: set[Part]) -> None:
        # Boxes that fill report all the time, and their reports alone change nobody's manifest.
        told = await self._placing.place(self.truth), self.truth.policies
        if parts.isdisjoint(_TELLING) and told == self._told:
            return
        wanted = await self._placing.manifests(self.truth, self._publisher.told())
        policies = {
            appliance_id: policy
            for appliance_id in wanted
            if (policy := self.truth.policies.get(self.truth.fleet[appliance_id].site_id))
        }
        await self._publisher.publish_manifests(wanted, policies, now=self._clocks.wall())
        self._told = told

    async def _publish_map(self) -> None:
        # What the map says of somebody's health is in the database first: a control plane that is killed
        # and starts again then believes what it published, and empties nobody from the map.
        while self._beliefs:
            await self._keep_beliefs()
        steering = snapshot(self._zone, self.truth, self._monitor.belief, self._clocks.wall())
        revision = self._publisher.map.revision + 1
        with self._metrics.map_compile_seconds.time():
            compiled = await asyncio.to_thread(compile_map, steering, revision, self._clocks.wall())
        await self._publisher.publish_map(compiled)
        self.steering = steering

    def _holding(self, title_id: str) -> set[str]:
        name = version_name(self.truth.catalog[title_id])
        return {
            appliance.appliance_id
            for appliance in self.truth.fleet.values()
            if name in appliance.report.complete_titles
        }

    def _health(self, appliance_id: str) -> Health:
        return self._monitor.belief(appliance_id).machine.health

    def fetchers(self, title_id: str, site_id: str) -> list[Appliance]:
        """The appliances of a site that are well, should hold a title and do not report it whole."""
        holding = self._holding(title_id)
        wanting = self._wanted_at.get(title_id, {}).get(site_id, ())
        return [
            self.truth.fleet[each]
            for each in wanting
            if each not in holding and self._health(each) in (Health.UP, Health.STARTING)
        ]

    def holders(self, title_id: str) -> list[Appliance]:
        """The healthy appliances that report a title whole."""
        fleet = self.truth.fleet
        return [
            fleet[each]
            for each in sorted(self._holding(title_id))
            if self._health(each) is Health.UP
        ]
