"""The rows of routes."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sluice.routes.v1 import routes_pb2
from sluice_control_plane.paging import Page
from sluice_control_plane.routes.prefixes import prefix_of, sort_key
from sluice_control_plane.schema import routes, sites
from sluice_control_plane.steering.routes import Prefix, Route

# One statement's rows: large enough to be quick, small enough that heartbeats are not held up.
_BATCH = 10_000


async def replace_routes(
    connection: AsyncConnection, site_id: str, prefixes: Sequence[Prefix]
) -> None:
    """Makes checked prefixes the only ones of a site."""
    await connection.execute(routes.delete().where(routes.c.site_id == site_id))
    for start in range(0, len(prefixes), _BATCH):
        rows = [
            {"site_id": site_id, "sort_key": sort_key(prefix), "prefix": str(prefix)}
            for prefix in prefixes[start : start + _BATCH]
        ]
        await connection.execute(routes.insert(), rows)


async def read_page(
    connection: AsyncConnection, page: Page, *, only: str | None, site_id: str | None
) -> Sequence[routes_pb2.Route]:
    """In order of prefix, then site."""
    query = (
        sa.select(routes.c.prefix, routes.c.site_id)
        .join(sites, sites.c.site_id == routes.c.site_id)
        .order_by(routes.c.sort_key, routes.c.site_id)
        .limit(page.rows_to_read())
    )
    if page.after:
        key, site = page.after
        query = query.where(
            sa.or_(
                routes.c.sort_key > key,
                sa.and_(routes.c.sort_key == key, routes.c.site_id > site),
            )
        )
    if only is not None:
        query = query.where(sites.c.partner_id == only)
    if site_id is not None:
        query = query.where(routes.c.site_id == site_id)
    return [
        routes_pb2.Route(
            prefix=row.prefix,
            site=f"sites/{row.site_id}",
            source=routes_pb2.ROUTE_SOURCE_STATIC,
        )
        for row in await connection.execute(query)
    ]


async def read_all(connection: AsyncConnection) -> Sequence[Route]:
    """Every route, in order."""
    query = sa.select(routes.c.sort_key, routes.c.site_id).order_by(
        routes.c.sort_key, routes.c.site_id
    )
    return [Route(prefix_of(key), site_id) for key, site_id in await connection.execute(query)]
