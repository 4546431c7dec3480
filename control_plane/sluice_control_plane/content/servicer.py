"""ContentService: translate, delegate, answer."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from sluice.content.v1 import content_pb2, content_pb2_grpc
from sluice_control_plane.content import storage
from sluice_control_plane.content.titles import check_title
from sluice_control_plane.database import Database
from sluice_control_plane.errors import AlreadyExists, InvalidRequest, NotFound
from sluice_control_plane.fill.policy import check_priority
from sluice_control_plane.fleet.appliances import check_etag
from sluice_control_plane.paging import page_of
from sluice_control_plane.requests import forget, remember, seen_before
from sluice_control_plane.resource_names import id_in
from sluice_control_plane.watching import Published


class ContentServicer(content_pb2_grpc.ContentServiceServicer):
    """`on_change` hears that the registry changed."""

    def __init__(
        self,
        database: Database,
        published: Published[content_pb2.WatchTitlesResponse],
        *,
        clock: Callable[[], float],
        on_change: Callable[[], None],
    ) -> None:
        self._database = database
        self._published = published
        self._clock = clock
        self._on_change = on_change

    async def CreateTitle(
        self, request: content_pb2.CreateTitleRequest, context: Any
    ) -> content_pb2.CreateTitleResponse:
        title_id, now = request.title_id, self._clock()
        check_title(title_id, request.title)
        async with self._database.write() as connection:
            if not await seen_before(connection, request, request.request_id):
                if await _is_there(connection, title_id):
                    raise AlreadyExists(f"titles/{title_id} is there")
                await storage.add_title(connection, title_id, request.title, now=now)
                await remember(
                    connection,
                    request,
                    request.request_id,
                    resource_name=f"titles/{title_id}",
                    now=now,
                )
            title = await storage.read_title(connection, title_id)
        self._on_change()
        return content_pb2.CreateTitleResponse(title=title)

    async def GetTitle(
        self, request: content_pb2.GetTitleRequest, context: Any
    ) -> content_pb2.GetTitleResponse:
        title_id = id_in(request.name, "titles", "name")
        async with self._database.read() as connection:
            title = await storage.read_title(connection, title_id)
        return content_pb2.GetTitleResponse(title=title)

    async def ListTitles(
        self, request: content_pb2.ListTitlesRequest, context: Any
    ) -> content_pb2.ListTitlesResponse:
        page = page_of("titles", request.page_size, request.page_token)
        async with self._database.read() as connection:
            rows = await storage.read_page(connection, page)
        titles, more = page.cut(rows)
        token = page.next_token(titles[-1].name.removeprefix("titles/")) if more else ""
        return content_pb2.ListTitlesResponse(titles=titles, next_page_token=token)

    async def DeleteTitle(
        self, request: content_pb2.DeleteTitleRequest, context: Any
    ) -> content_pb2.DeleteTitleResponse:
        title_id = id_in(request.name, "titles", "name")
        async with self._database.write() as connection:
            title = await storage.read_title(connection, title_id)
            check_etag(request.etag, title.etag, title.name)
            await storage.remove_title(connection, title_id)
            await forget(connection, title.name)
        self._on_change()
        return content_pb2.DeleteTitleResponse()

    async def SetTitlePriority(
        self, request: content_pb2.SetTitlePriorityRequest, context: Any
    ) -> content_pb2.SetTitlePriorityResponse:
        title_id = id_in(request.name, "titles", "name")
        check_priority(request.priority)
        async with self._database.write() as connection:
            before = await storage.read_title(connection, title_id)
            check_etag(request.etag, before.etag, before.name)
            await storage.set_priority(connection, title_id, request.priority)
            title = await storage.read_title(connection, title_id)
        self._on_change()
        title.ClearField("objects")
        return content_pb2.SetTitlePriorityResponse(title=title)

    async def WatchTitles(
        self, request: content_pb2.WatchTitlesRequest, context: Any
    ) -> AsyncIterator[content_pb2.WatchTitlesResponse]:
        if request.revision < 0:
            raise InvalidRequest(f"revision is {request.revision}, expected 0 or more")
        async with aclosing(self._published.watch(request.revision)) as watch:
            async for registry in watch:
                yield registry


async def _is_there(connection: Any, title_id: str) -> bool:
    try:
        await storage.read_title(connection, title_id)
    except NotFound:
        return False
    return True
