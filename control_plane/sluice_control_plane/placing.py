"""Where everything is to be: how many copies a site holds of each bucket, and who holds which title.

It remembers how many copies there were, here and in the database, so that small changes of demand move
nothing, over a restart of ours either.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sluice.content.v1 import content_pb2
from sluice.fill.v1 import fill_pb2
from sluice_control_plane.database import Database
from sluice_control_plane.demand.ledger import DemandLedger
from sluice_control_plane.fill.expected import expected_bytes_per_s, sizes_of
from sluice_control_plane.fill.manifests import Catalog, Told, fill_manifests, place, sites_of
from sluice_control_plane.fill.policy import priority_of
from sluice_control_plane.metrics import Metrics
from sluice_control_plane.placement.placement import Copies, Site
from sluice_control_plane.placement.replicas import copies_by_bucket
from sluice_control_plane.schema import bucket_copies
from sluice_control_plane.truth import Truth

# The ids of the titles that each enrolled appliance should hold.
Placed = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Standing:
    """What was placed, and what it stands on."""

    sites: Sequence[Site] = ()
    catalog: Mapping[str, content_pb2.Title] = field(default_factory=dict)
    more: Copies = field(default_factory=dict)
    placed: Placed = field(default_factory=dict)


class Placing:
    """`copies_min` of everything in every site that has so many boxes, `copies_max` of what is hot."""

    def __init__(
        self,
        database: Database,
        ledger: DemandLedger,
        metrics: Metrics,
        *,
        copies_min: int,
        copies_max: int,
        new_release_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._metrics = metrics
        self._copies_min = copies_min
        self._copies_max = copies_max
        self._new_release_s = new_release_s
        self._clock = clock
        self._more: Copies = {}
        self._standing = _Standing()

    async def restore(self) -> None:
        """Takes up how many copies an earlier run asked for."""
        async with self._database.read() as connection:
            rows = await connection.execute(sa.select(bucket_copies))
            self._more = {(row.site_id, row.bucket): row.copies for row in rows}
        self._metrics.more_copies.set(self._more_than_everywhere())

    async def follow_demand(self, truth: Truth) -> None:
        """Decides the copies anew. They are kept before anybody hears of them."""
        now = self._clock()
        more: dict[tuple[str, int], int] = {}
        for site in sites_of(truth.fleet.values()):
            demand: dict[int, float] = {}
            for version, rate in self._ledger.bytes_per_s(site.site_id, now).items():
                if (title := truth.versions.get(version)) is not None:
                    demand[title.bucket] = demand.get(title.bucket, 0.0) + rate
            found = copies_by_bucket(
                demand,
                {
                    bucket: n
                    for (site_id, bucket), n in self._more.items()
                    if site_id == site.site_id
                },
                members=len(site.members),
                copies_min=self._copies_min,
                copies_max=max(self._copies_min, self._copies_max),
            )
            more |= {(site.site_id, bucket): copies for bucket, copies in found.items()}
        if more != self._more:
            async with self._database.write() as connection:
                await _keep(connection, more)
            self._more = more
            self._metrics.more_copies.set(self._more_than_everywhere())

    async def place(self, truth: Truth) -> Placed:
        """The ids of the titles that each enrolled appliance should hold; the very object of the last time
        where nothing changed that it stands on. For a large fleet it is seconds of work, for a thread."""
        standing, more = self._standing, self._more
        sites = sites_of(truth.fleet.values())
        if (
            sites != standing.sites
            or truth.catalog is not standing.catalog
            or more is not standing.more
        ):
            placed = await asyncio.to_thread(
                place, truth.catalog.values(), truth.fleet.values(), self._copies_min, more
            )
            self._standing = _Standing(sites, truth.catalog, more, placed)
        return self._standing.placed

    async def manifests(
        self, truth: Truth, before: Told
    ) -> Mapping[str, Sequence[fill_pb2.FillTitle]]:
        """What each enrolled appliance is to be told; `before` is what it was told."""
        placed = await self.place(truth)
        now = self._clock()
        observed = {
            site.site_id: self._ledger.bytes_per_s(site.site_id, now)
            for site in sites_of(truth.fleet.values())
        }
        return await asyncio.to_thread(self._manifests, truth, placed, observed, before, now)

    def _manifests(
        self,
        truth: Truth,
        placed: Placed,
        observed: Mapping[str, Mapping[str, float]],
        before: Told,
        now: float,
    ) -> Mapping[str, Sequence[fill_pb2.FillTitle]]:
        titles = {title.name: title for title in truth.catalog.values()}
        priorities = {
            name: priority_of(title, new_release_s=self._new_release_s, now=now)
            for name, title in titles.items()
        }
        catalog = Catalog(titles, sizes_of(titles.values()), priorities)
        expected = {
            site_id: expected_bytes_per_s(titles.values(), catalog.sizes, rates, now)
            for site_id, rates in observed.items()
        }
        return fill_manifests(placed, truth.fleet.values(), catalog, expected, before)

    def _more_than_everywhere(self) -> int:
        return sum(copies - self._copies_min for copies in self._more.values())


async def _keep(connection: AsyncConnection, more: Copies) -> None:
    await connection.execute(bucket_copies.delete())
    if more:
        rows = [
            {"site_id": site_id, "bucket": bucket, "copies": copies}
            for (site_id, bucket), copies in more.items()
        ]
        await connection.execute(bucket_copies.insert(), rows)
