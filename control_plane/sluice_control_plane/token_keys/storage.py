"""The rows of token keys. Their private halves are here and nowhere else of ours: guard the database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sluice_control_plane.schema import token_keys
from sluice_control_plane.token_keys.rotation import TokenKey

_US = 1_000_000


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key and its private half, PKCS #8 in DER."""

    key: TokenKey
    private_key: bytes


async def read_keys(connection: AsyncConnection) -> Sequence[StoredKey]:
    """In order of when they sign."""
    rows = await connection.execute(
        sa.select(token_keys).order_by(token_keys.c.sign_time_us, token_keys.c.key_id)
    )
    return [
        StoredKey(
            TokenKey(
                row.key_id,
                row.sign_time_us / _US,
                None if row.expire_time_us is None else row.expire_time_us / _US,
            ),
            row.private_key,
        )
        for row in rows
    ]


async def replace_keys(connection: AsyncConnection, keys: Sequence[StoredKey]) -> None:
    """These and no others."""
    await connection.execute(token_keys.delete())
    for stored in keys:
        await connection.execute(token_keys.insert().values(**_row(stored)))


def _row(stored: StoredKey) -> Mapping[str, object]:
    key = stored.key
    return {
        "key_id": key.key_id,
        "private_key": stored.private_key,
        "sign_time_us": round(key.sign_time * _US),
        "expire_time_us": None if key.expire_time is None else round(key.expire_time * _US),
    }
