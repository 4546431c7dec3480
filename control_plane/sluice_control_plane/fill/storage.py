"""The rows of sites' policies of fill."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sluice.fill.v1 import fill_pb2
from sluice_control_plane.fleet.appliances import etag_of
from sluice_control_plane.schema import fill_policies


@dataclass(frozen=True, slots=True)
class SitePolicy:
    """A site's policy; by default there is no limit."""

    policy: fill_pb2.FillPolicy = field(default_factory=fill_pb2.FillPolicy)
    # What an operator allows a partner; 0 for anything.
    drive_writes_per_day_max: float = 0.0

    @property
    def etag(self) -> str:
        text = self.policy.SerializeToString(deterministic=True).hex()
        return etag_of(text, self.drive_writes_per_day_max)


async def read_policies(connection: AsyncConnection) -> Mapping[str, fill_pb2.FillPolicy]:
    """By site, of those that have one."""
    rows = await connection.execute(sa.select(fill_policies))
    return {row.site_id: fill_pb2.FillPolicy.FromString(row.policy) for row in rows}


async def read_policy(connection: AsyncConnection, site_id: str) -> SitePolicy:
    query = sa.select(fill_policies).where(fill_policies.c.site_id == site_id)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return SitePolicy()
    return SitePolicy(fill_pb2.FillPolicy.FromString(row.policy), row.drive_writes_per_day_max)


async def keep_policy(connection: AsyncConnection, site_id: str, policy: SitePolicy) -> None:
    await connection.execute(fill_policies.delete().where(fill_policies.c.site_id == site_id))
    await connection.execute(
        fill_policies.insert().values(
            site_id=site_id,
            policy=policy.policy.SerializeToString(deterministic=True),
            drive_writes_per_day_max=policy.drive_writes_per_day_max,
        )
    )
