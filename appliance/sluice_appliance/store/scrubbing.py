"""The audit of a box, for as long as it runs: its disks side by side, each within its own budget of bytes a second."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol, assert_never

from sluice_appliance.store.checking import LOST, Finding, Verdict
from sluice_appliance.store.disks import DiskState, DiskStatus
from sluice_appliance.store.tally import AuditTally
from sluice_runtime.logs import get_logger

log = get_logger(__name__)

# A small store is gone over in minutes: once in so long will do. Rot takes months.
PASS_S_MIN = 6 * 3600.0


class AuditedStore(Protocol):
    """The store, as far as this needs it."""

    def disks(self) -> Sequence[DiskStatus]: ...
    def audit(self, disk: str) -> AsyncIterator[int | Finding]: ...


class Pace(Protocol):
    """A budget; `fill.shaping.RateLimit` is one."""

    def next_send_at(self, size_bytes: int, now: float) -> float: ...


class Scrubber:
    """Runs until cancelled. `lost` is called for each object that is no longer held, for it to come again;
    `pace` makes a budget that begins now."""

    def __init__(
        self,
        store: AuditedStore,
        tally: AuditTally,
        *,
        pace: Callable[[float], Pace],
        lost: Callable[[], None],
        rest_s: float = PASS_S_MIN,
    ) -> None:
        self._store = store
        self._tally = tally
        self._pace = pace
        self._lost = lost
        self._rest_s = rest_s

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for disk in self._store.disks():
                group.create_task(self._go_over_and_over(disk.name))

    async def _go_over_and_over(self, disk: str) -> None:
        now = asyncio.get_running_loop().time
        pace = self._pace(now())
        while True:
            began = now()
            await self._go_over(disk, pace)
            await asyncio.sleep(max(0.0, began + self._rest_s - now()))

    async def _go_over(self, disk: str, pace: Pace) -> None:
        now = asyncio.get_running_loop().time
        async for step in self._store.audit(disk):
            match step:
                case int():
                    self._tally.read(step)
                    await asyncio.sleep(max(0.0, pace.next_send_at(step, now()) - now()))
                case Finding():
                    self._heed(step)
                case _:
                    assert_never(step)
        state = next(status.state for status in self._store.disks() if status.name == disk)
        if state is not DiskState.FAILED:
            self._tally.passed()
            log.info("disk_audited", disk=disk)

    def _heed(self, finding: Finding) -> None:
        if finding.verdict is Verdict.GONE:
            return
        self._tally.found(finding.verdict)
        if finding.verdict in LOST:
            self._lost()
