"""Keeps the demand in the database every few minutes, and then has placement look at it anew.

Counts and how far each appliance was heard are kept together: a control plane that is killed forgets
what came since, some minutes of the days over which it is smoothed, and counts nothing twice.
"""

import asyncio
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from sluice_control_plane.database import Database
from sluice_control_plane.demand import storage
from sluice_control_plane.demand.ledger import DemandLedger
from sluice_control_plane.metrics import Metrics
from sluice_runtime.logs import get_logger

log = get_logger(__name__)

KEEP_EVERY_S = 300.0


class DemandKeeper:
    """`on_change` hears that it is time to look at demand anew: there is more, or what there was faded."""

    def __init__(
        self,
        database: Database,
        ledger: DemandLedger,
        metrics: Metrics,
        *,
        on_change: Callable[[], None],
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._metrics = metrics
        self._on_change = on_change

    async def restore(self) -> None:
        """Takes up what an earlier run kept."""
        async with self._database.read() as connection:
            sites = await storage.read_demand(connection)
            self._ledger.restore(sites, await storage.read_heard(connection))

    async def run(self) -> None:
        """Keeps until cancelled, and once more then."""
        try:
            while True:
                await asyncio.sleep(KEEP_EVERY_S)
                await self.keep()
        finally:
            await self.keep()

    async def keep(self) -> None:
        """Keeps what changed; what cannot be kept is tried again the next time."""
        changes = self._ledger.take_changes()
        try:
            async with self._database.write() as connection:
                for site_id, demand in changes.sites.items():
                    await storage.keep_demand(connection, site_id, demand)
                for appliance_id, heard in changes.heard.items():
                    await storage.keep_heard(connection, appliance_id, heard)
        except (SQLAlchemyError, OSError) as error:
            self._ledger.put_back(changes)
            self._metrics.demand_keep_failures.inc()
            log.error("demand_not_kept", error=str(error), retry_in_s=KEEP_EVERY_S)
            return
        self._on_change()
