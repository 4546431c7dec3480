"""What the title commands ask of the control plane."""

import grpc.aio

from sluice.content.v1 import content_pb2, content_pb2_grpc
from sluice.fill.v1 import fill_pb2
from sluice_cli.control_plane import PAGE_SIZE, RPC_TIMEOUT_S, as_operator
from sluice_cli.deployment import Deployment

# A page token that never ends is a mistake of the server's.
PAGES_MAX = 1000


async def list_titles(deployment: Deployment) -> list[content_pb2.Title]:
    """All titles in order of name, without their objects. Raises ControlPlaneRefused."""
    async with as_operator(deployment) as channel:
        return await all_titles(channel)


async def all_titles(channel: grpc.aio.Channel) -> list[content_pb2.Title]:
    """The same over a channel that is open. Raises AioRpcError."""
    titles: list[content_pb2.Title] = []
    request = content_pb2.ListTitlesRequest(page_size=PAGE_SIZE)
    content = content_pb2_grpc.ContentServiceStub(channel)
    for _ in range(PAGES_MAX):
        page = await content.ListTitles(request, timeout=RPC_TIMEOUT_S)
        titles += page.titles
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    return titles


async def remove_title(deployment: Deployment, title_id: str) -> None:
    """Raises ControlPlaneRefused, also where there is no such title."""
    async with as_operator(deployment) as channel:
        await content_pb2_grpc.ContentServiceStub(channel).DeleteTitle(
            content_pb2.DeleteTitleRequest(name=f"titles/{title_id}"), timeout=RPC_TIMEOUT_S
        )


async def set_priority(
    deployment: Deployment, title_id: str, priority: fill_pb2.FillPriority.ValueType
) -> content_pb2.Title:
    """The title as it is then. Raises ControlPlaneRefused, also where there is no such title."""
    async with as_operator(deployment) as channel:
        answer = await content_pb2_grpc.ContentServiceStub(channel).SetTitlePriority(
            content_pb2.SetTitlePriorityRequest(name=f"titles/{title_id}", priority=priority),
            timeout=RPC_TIMEOUT_S,
        )
        return answer.title
