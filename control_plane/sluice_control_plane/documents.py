"""What is published and its revision, kept so that both outlive a restart."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sluice_control_plane.schema import documents

MAP = "map"
TITLES = "titles"


@dataclass(frozen=True, slots=True)
class Document:
    """A published thing: its bytes at one revision. Revision 0 was never published."""

    revision: int
    payload: bytes


NEVER = Document(0, b"")


def manifest_of(appliance_id: str) -> str:
    """The name of an appliance's manifest here."""
    return f"manifests/{appliance_id}"


async def read_documents(connection: AsyncConnection) -> dict[str, Document]:
    """All of them by name."""
    rows = await connection.execute(sa.select(documents))
    return {row.document_name: Document(row.revision, row.payload) for row in rows}


async def keep_document(connection: AsyncConnection, name: str, document: Document) -> None:
    """Replaces a document by a newer one."""
    values = {"revision": document.revision, "payload": document.payload}
    changed = await connection.execute(
        documents.update().where(documents.c.document_name == name).values(**values)
    )
    if changed.rowcount == 0:
        await connection.execute(documents.insert().values(document_name=name, **values))
