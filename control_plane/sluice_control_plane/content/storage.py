"""The rows of titles, their renditions and their objects."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from google.protobuf.duration_pb2 import Duration
from sqlalchemy.ext.asyncio import AsyncConnection

from sluice.content.v1 import content_pb2
from sluice_control_plane.content.titles import title_etag
from sluice_control_plane.errors import NotFound
from sluice_control_plane.paging import Page
from sluice_control_plane.placement.rendezvous import bucket_of
from sluice_control_plane.schema import block_digests, objects, renditions, titles

_US = 1_000_000


async def read_title(connection: AsyncConnection, title_id: str) -> content_pb2.Title:
    """With its objects. Raises NotFound."""
    rows = await connection.execute(sa.select(titles).where(titles.c.title_id == title_id))
    row = rows.one_or_none()
    if row is None:
        raise NotFound(f"titles/{title_id} is not there")
    title = _title(row)
    await _add_renditions(connection, {title_id: title}, title_id)
    await _add_objects(connection, {title_id: title}, title_id)
    for position, digests in (await read_block_digests(connection, title_id)).items():
        title.objects[position].block_digests = digests
    return title


async def read_page(connection: AsyncConnection, page: Page) -> Sequence[content_pb2.Title]:
    """Without objects."""
    query = sa.select(titles).order_by(titles.c.title_id).limit(page.rows_to_read())
    if page.after:
        query = query.where(titles.c.title_id > page.after[0])
    found = {row.title_id: _title(row) for row in await connection.execute(query)}
    if found:
        await _add_renditions(connection, found, min(found), max(found))
    return list(found.values())


async def read_catalog(connection: AsyncConnection) -> Sequence[content_pb2.Title]:
    """All titles with their objects, in order of name, without the digests of blocks: those of a large
    catalog are some gigabytes."""
    query = sa.select(titles).order_by(titles.c.title_id)
    found = {row.title_id: _title(row) for row in await connection.execute(query)}
    await _add_renditions(connection, found)
    await _add_objects(connection, found)
    return list(found.values())


async def read_block_digests(
    connection: AsyncConnection, title_id: str, *, position: int | None = None
) -> Mapping[int, bytes]:
    """Of the objects that have any, or of the one at `position`."""
    query = sa.select(block_digests).where(block_digests.c.title_id == title_id)
    if position is not None:
        query = query.where(block_digests.c.position == position)
    rows = await connection.execute(query.order_by(block_digests.c.position))
    return {row.position: row.digests for row in rows}


async def add_title(
    connection: AsyncConnection, title_id: str, title: content_pb2.Title, *, now: float
) -> None:
    await connection.execute(
        titles.insert().values(
            title_id=title_id,
            display_name=title.display_name or title_id,
            version=title.version,
            live=False,
            duration_us=title.duration.ToMicroseconds(),
            attribution=title.attribution,
            hls_key=title.hls_key,
            dash_key=title.dash_key,
            integrity_key=title.integrity_key,
            create_time_us=int(now * _US),
        )
    )
    rows = [
        {
            "title_id": title_id,
            "position": position,
            "object_key": item.key,
            "size_bytes": item.size_bytes,
            "sha256": item.sha256,
            "content_type": item.content_type,
        }
        for position, item in enumerate(title.objects)
    ]
    await connection.execute(objects.insert(), rows)
    digests = [
        {"title_id": title_id, "position": position, "digests": item.block_digests}
        for position, item in enumerate(title.objects)
        if item.block_digests
    ]
    if digests:
        await connection.execute(block_digests.insert(), digests)
    if title.renditions:
        await connection.execute(renditions.insert(), _rendition_rows(title_id, title.renditions))


async def set_priority(connection: AsyncConnection, title_id: str, priority: int) -> None:
    await connection.execute(
        titles.update().where(titles.c.title_id == title_id).values(priority=priority)
    )


async def remove_title(connection: AsyncConnection, title_id: str) -> None:
    for table in (renditions, block_digests, objects, titles):
        await connection.execute(table.delete().where(table.c.title_id == title_id))


async def set_live(connection: AsyncConnection, title_ids: Iterable[str]) -> None:
    for title_id in title_ids:
        await connection.execute(
            titles.update().where(titles.c.title_id == title_id).values(live=True)
        )


async def _add_renditions(
    connection: AsyncConnection, found: dict[str, content_pb2.Title], *span: str
) -> None:
    query = _in_span(sa.select(renditions), renditions, span)
    for row in await connection.execute(query):
        if row.title_id in found:
            found[row.title_id].renditions.add(
                rendition_id=row.rendition_id,
                key=row.object_key,
                codecs=row.codecs,
                width=row.width,
                height=row.height,
                bitrate_kbps=row.bitrate_kbps,
                language=row.language,
            )


async def _add_objects(
    connection: AsyncConnection, found: dict[str, content_pb2.Title], *span: str
) -> None:
    for row in await connection.execute(_in_span(sa.select(objects), objects, span)):
        if row.title_id in found:
            found[row.title_id].objects.add(
                key=row.object_key,
                size_bytes=row.size_bytes,
                sha256=row.sha256,
                content_type=row.content_type,
            )


def _in_span(query: Any, table: sa.Table, span: Sequence[str]) -> Any:
    """Narrows to the titles from the first to the last of `span`; to none where it is empty."""
    if span:
        query = query.where(table.c.title_id.between(span[0], span[-1]))
    return query.order_by(table.c.title_id, table.c.position)


def _rendition_rows(
    title_id: str, found: Iterable[content_pb2.Rendition]
) -> list[dict[str, object]]:
    return [
        {
            "title_id": title_id,
            "position": position,
            "rendition_id": item.rendition_id,
            "object_key": item.key,
            "codecs": item.codecs,
            "width": item.width,
            "height": item.height,
            "bitrate_kbps": item.bitrate_kbps,
            "language": item.language,
        }
        for position, item in enumerate(found)
    ]


def _title(row: Any) -> content_pb2.Title:
    duration = Duration()
    duration.FromMicroseconds(row.duration_us)
    title = content_pb2.Title(
        name=f"titles/{row.title_id}",
        display_name=row.display_name,
        version=row.version,
        bucket=bucket_of(row.title_id),
        state=content_pb2.TITLE_STATE_LIVE if row.live else content_pb2.TITLE_STATE_FILLING,
        duration=duration,
        attribution=row.attribution,
        hls_key=row.hls_key,
        dash_key=row.dash_key,
        integrity_key=row.integrity_key,
        priority=row.priority,
    )
    title.create_time.FromMicroseconds(row.create_time_us)
    title.etag = title_etag(title)
    return title
