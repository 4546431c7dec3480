"""RoutesService: translate, delegate, answer."""

from collections.abc import Callable
from typing import Any

from sluice.routes.v1 import routes_pb2, routes_pb2_grpc
from sluice_control_plane.database import Database
from sluice_control_plane.fleet.storage import read_site
from sluice_control_plane.identity.gate import caller
from sluice_control_plane.paging import page_of
from sluice_control_plane.resource_names import id_in
from sluice_control_plane.routes import storage
from sluice_control_plane.routes.prefixes import check_prefixes, sort_key
from sluice_control_plane.steering.routes import parse_prefix


class RoutesServicer(routes_pb2_grpc.RoutesServiceServicer):
    """`on_change` hears that a site's routes changed."""

    def __init__(self, database: Database, *, on_change: Callable[[], None]) -> None:
        self._database = database
        self._on_change = on_change

    async def ReplaceRoutes(
        self, request: routes_pb2.ReplaceRoutesRequest, context: Any
    ) -> routes_pb2.ReplaceRoutesResponse:
        site_id = id_in(request.site, "sites", "site")
        prefixes = check_prefixes(request.prefixes)
        async with self._database.write() as connection:
            site = await read_site(connection, site_id)
            caller(context).must_own(site.partner.removeprefix("partners/"), site.name)
            await storage.replace_routes(connection, site_id, prefixes)
        self._on_change()
        source = routes_pb2.ROUTE_SOURCE_STATIC
        return routes_pb2.ReplaceRoutesResponse(
            routes=[
                routes_pb2.Route(prefix=str(prefix), site=site.name, source=source)
                for prefix in prefixes
            ]
        )

    async def ListRoutes(
        self, request: routes_pb2.ListRoutesRequest, context: Any
    ) -> routes_pb2.ListRoutesResponse:
        site_id = id_in(request.site, "sites", "site") if request.site else None
        page = page_of(f"routes {request.site}", request.page_size, request.page_token, parts=2)
        async with self._database.read() as connection:
            rows = await storage.read_page(
                connection, page, only=caller(context).only_partner(), site_id=site_id
            )
        routes, more = page.cut(rows)
        token = ""
        if more:
            last = routes[-1]
            key = sort_key(parse_prefix(last.prefix))
            token = page.next_token(key, last.site.removeprefix("sites/"))
        return routes_pb2.ListRoutesResponse(routes=routes, next_page_token=token)
