"""Tells the control plane what the store holds: after every change, every minute, and until it hears.

At most one report a second; a report that fails is made again, with the faults that it spoke of.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from sluice_appliance.fill.progress import FillProgress
from sluice_appliance.fill.sources import FaultKind
from sluice_appliance.fill.tally import FillTally
from sluice_runtime.logs import get_logger

log = get_logger(__name__)

SHORTEST_S = 1.0
LONGEST_S = 60.0
_RETRY_S = 2.0

Faults = Mapping[tuple[str, FaultKind], int]


class ReportUndelivered(Exception):
    """The control plane did not take the report."""


class FillReporter:
    """Runs until cancelled; `changed` may be called at any time and as often as one likes."""

    def __init__(
        self,
        send: Callable[[FillProgress, Faults], Awaitable[None]],
        *,
        progress: Callable[[], FillProgress | None],
        tally: FillTally,
    ) -> None:
        self._send = send
        self._progress = progress
        self._tally = tally
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """There is something new to say, or somebody new to say it to."""
        self._changed.set()

    async def run(self) -> None:
        while True:
            self._changed.clear()
            delivered = await self._report()
            await asyncio.sleep(SHORTEST_S if delivered else _RETRY_S)
            if delivered:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LONGEST_S - SHORTEST_S):
                        await self._changed.wait()

    async def _report(self) -> bool:
        progress = self._progress()
        if progress is None:
            return True
        faults = self._tally.take_faults()
        try:
            await self._send(progress, faults)
        except ReportUndelivered as error:
            self._tally.put_back(faults)
            self._tally.report_failed()
            log.debug("fill_report_failed", reason=str(error))
            return False
        return True
