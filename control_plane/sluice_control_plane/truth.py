"""The truth in memory: what the database says of fleet, titles and routes, read again where it changed."""

import asyncio
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from enum import Enum

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sluice.content.v1 import content_pb2
from sluice.fill.v1 import fill_pb2
from sluice_control_plane.content.storage import read_catalog
from sluice_control_plane.content.titles import version_name
from sluice_control_plane.fill.storage import read_policies
from sluice_control_plane.fleet.appliances import Appliance
from sluice_control_plane.fleet.storage import read_fleet
from sluice_control_plane.routes.storage import read_all
from sluice_control_plane.schema import sites
from sluice_control_plane.steering.compiler import SteeringSite
from sluice_control_plane.steering.partition import Partition, partition


class Part(Enum):
    """What may have changed."""

    FLEET = "fleet"
    TITLES = "titles"
    ROUTES = "routes"
    HEALTH = "health"
    # It is in memory, not in the truth: what is made of both is made anew.
    DEMAND = "demand"


@dataclass(frozen=True, slots=True)
class Truth:
    """One consistent reading."""

    sites: tuple[SteeringSite, ...] = ()
    fleet: Mapping[str, Appliance] = field(default_factory=dict)
    # By site id, of the sites that have one.
    policies: Mapping[str, fill_pb2.FillPolicy] = field(default_factory=dict)
    # By title id, with their objects.
    catalog: Mapping[str, content_pb2.Title] = field(default_factory=dict)
    # The same by `title/version`.
    versions: Mapping[str, content_pb2.Title] = field(default_factory=dict)
    partition: Partition = field(default_factory=lambda: partition((), ()))


async def read_again(connection: AsyncConnection, before: Truth, parts: AbstractSet[Part]) -> Truth:
    """`before` with the changed parts as they are now."""
    truth = before
    if Part.FLEET in parts:
        fleet = await read_fleet(connection)
        truth = replace(
            truth,
            sites=await _read_sites(connection),
            policies=await read_policies(connection),
            fleet={appliance.appliance_id: appliance for appliance in fleet},
        )
    if Part.TITLES in parts:
        titles = await read_catalog(connection)
        truth = replace(
            truth,
            catalog={title.name.removeprefix("titles/"): title for title in titles},
            versions={version_name(title): title for title in titles},
        )
    site_ids = tuple(site.site_id for site in truth.sites)
    if Part.ROUTES in parts or site_ids != truth.partition.site_ids:
        # A site made since is not among ours yet; the next reading has it.
        known = set(site_ids)
        routes = [route for route in await read_all(connection) if route.site_id in known]
        # Seconds of work for a full table: heartbeats are answered meanwhile.
        cut = await asyncio.to_thread(partition, routes, site_ids)
        truth = replace(truth, partition=cut)
    return truth


async def _read_sites(connection: AsyncConnection) -> tuple[SteeringSite, ...]:
    rows = await connection.execute(sa.select(sites).order_by(sites.c.site_id))
    return tuple(SteeringSite(row.site_id, row.partner_id) for row in rows)


def titles_in_order(truth: Truth) -> Sequence[content_pb2.Title]:
    """By name."""
    return [truth.catalog[title_id] for title_id in sorted(truth.catalog)]
