"""Where everything is to be: how many copies a site holds of each bucket, and who holds which title.

It remembers how many copies there were, here and in the database, so that small changes of demand move
nothing, over a restart of ours either.
"""

from collections.abc import Callable, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sluice.fill.v1 import fill_pb2
from sluice_control_plane.database import Database
from sluice_control_plane.demand.ledger import DemandLedger
from sluice_control_plane.fill.expected import expected_bytes_per_s, sizes_of
from sluice_control_plane.fill.manifests import Catalog, Told, fill_manifests, place, sites_of
from sluice_control_plane.fill.policy import priority_of
from sluice_control_plane.metrics import Metrics
from sluice_control_plane.placement.placement import Copies
from sluice_control_plane.placement.replicas import copies_by_bucket
from sluice_control_plane.schema import bucket_copies
from sluice_control_plane.truth import Truth


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

    def place(self, truth: Truth) -> Mapping[str, tuple[str, ...]]:
        """The ids of the titles that each enrolled appliance should hold."""
        return place(truth.catalog.values(), truth.fleet.values(), self._copies_min, self._more)

    def manifests(self, truth: Truth, before: Told) -> Mapping[str, Sequence[fill_pb2.FillTitle]]:
        """What each enrolled appliance is to be told; `before` is what it was told."""
        titles = {title.name: title for title in truth.catalog.values()}
        now = self._clock()
        priorities = {
            name: priority_of(title, new_release_s=self._new_release_s, now=now)
            for name, title in titles.items()
        }
        catalog = Catalog(titles, sizes_of(titles.values()), priorities)
        expected = {
            site.site_id: expected_bytes_per_s(
                titles.values(), catalog.sizes, self._ledger.bytes_per_s(site.site_id, now), now
            )
            for site in sites_of(truth.fleet.values())
        }
        return fill_manifests(self.place(truth), truth.fleet.values(), catalog, expected, before)

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
