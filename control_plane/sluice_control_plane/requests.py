"""Request ids (AIP-155): the same request twice makes one resource.

An id is remembered for a day; a resource that is deleted takes the ids that made it along, so that it
can be made again.
"""

import hashlib

import sqlalchemy as sa
from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncConnection

from sluice_control_plane.errors import RequestIdReused
from sluice_control_plane.resource_names import check_request_id
from sluice_control_plane.schema import request_ids

# Longer than any client retries; with one row for each creation, the table stays small.
KEPT_S = 24 * 3600
_US = 1_000_000


async def seen_before(connection: AsyncConnection, request: Message, request_id: str) -> bool:
    """Whether this very request was answered. Raises RequestIdReused for another with its id."""
    request_id = check_request_id(request_id)
    if not request_id:
        return False
    known = await connection.scalar(
        sa.select(request_ids.c.digest).where(request_ids.c.request_id == request_id)
    )
    if known is None:
        return False
    if known != _digest(request):
        raise RequestIdReused(f"request_id {request_id} was used for a different request")
    return True


async def remember(
    connection: AsyncConnection,
    request: Message,
    request_id: str,
    *,
    resource_name: str,
    now: float,
) -> None:
    """Keeps the id of a request that made `resource_name`, and forgets the old ones."""
    request_id = check_request_id(request_id)
    if not request_id:
        return
    await connection.execute(
        request_ids.delete().where(request_ids.c.create_time_us < int((now - KEPT_S) * _US))
    )
    await connection.execute(
        request_ids.insert().values(
            request_id=request_id,
            digest=_digest(request),
            resource_name=resource_name,
            create_time_us=int(now * _US),
        )
    )


async def forget(connection: AsyncConnection, resource_name: str) -> None:
    """The resource is deleted: a request to make it again is a new one."""
    await connection.execute(
        request_ids.delete().where(request_ids.c.resource_name == resource_name)
    )


def _digest(request: Message) -> str:
    text = request.DESCRIPTOR.full_name.encode() + b"\0"
    return hashlib.sha256(text + request.SerializeToString(deterministic=True)).hexdigest()
