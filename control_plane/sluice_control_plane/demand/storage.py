"""The rows of demand: one document a site, and how far each appliance was heard."""

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sluice_control_plane.demand.ledger import Heard
from sluice_control_plane.demand.smoothing import SiteDemand
from sluice_control_plane.schema import demand_heard, site_demand

_US = 1_000_000


async def read_demand(connection: AsyncConnection) -> Mapping[str, SiteDemand]:
    return {
        row.site_id: SiteDemand(
            row.begin_time_us / _US, since=row.since_time_us / _US, score=row.score
        )
        for row in await connection.execute(sa.select(site_demand))
    }


async def read_heard(connection: AsyncConnection) -> Mapping[str, Heard]:
    return {
        row.appliance_id: Heard(row.incarnation, row.sequence)
        for row in await connection.execute(sa.select(demand_heard))
    }


async def keep_demand(connection: AsyncConnection, site_id: str, demand: SiteDemand) -> None:
    await connection.execute(site_demand.delete().where(site_demand.c.site_id == site_id))
    await connection.execute(
        site_demand.insert().values(
            site_id=site_id,
            begin_time_us=round(demand.began * _US),
            since_time_us=round(demand.since * _US),
            score=demand.score,
        )
    )


async def keep_heard(connection: AsyncConnection, appliance_id: str, heard: Heard) -> None:
    await connection.execute(
        demand_heard.delete().where(demand_heard.c.appliance_id == appliance_id)
    )
    await connection.execute(
        demand_heard.insert().values(
            appliance_id=appliance_id, incarnation=heard.incarnation, sequence=heard.sequence
        )
    )
