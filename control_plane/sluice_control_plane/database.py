"""The database: opening it, bringing its schema up to date, and one writer at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

# How long SQLite waits for another process that writes, such as a backup.
_BUSY_TIMEOUT_S = 5.0
_MIGRATIONS = Path(__file__).parent / "migrations"


class DatabaseUnavailable(Exception):
    """The database cannot be opened. The message says which and why."""


class Database:
    """Transactions. Writers wait for one another here, so that SQLite never answers `locked`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writing = asyncio.Lock()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that is kept when the block ends well."""
        async with self._writing, self._engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection to read from."""
        async with self._engine.connect() as connection:
            yield connection


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """Opens the database at `url` and migrates it. Raises DatabaseUnavailable."""
    try:
        engine = create_async_engine(url)
    except (sa.exc.ArgumentError, sa.exc.InvalidRequestError, ImportError) as error:
        raise DatabaseUnavailable(f"database_url cannot be used: {_first_line(error)}") from None
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    try:
        try:
            async with engine.begin() as connection:
                await connection.run_sync(_migrate)
        except (sa.exc.DBAPIError, OSError) as error:
            shown = engine.url.render_as_string(hide_password=True)
            raise DatabaseUnavailable(f"database {shown}: {_first_line(error)}") from None
        yield Database(engine)
    finally:
        await engine.dispose()


def _migrate(connection: sa.Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _prepare_sqlite(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute(f"PRAGMA busy_timeout={int(_BUSY_TIMEOUT_S * 1000)}")
    # The truth must not go back in time with a power cut: FULL syncs the WAL at every commit.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
