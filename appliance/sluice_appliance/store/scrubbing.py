"""The audit of a box, for as long as it runs: its disks side by side, each within its own budget of bytes a second."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from math import inf
from typing import Protocol, assert_never

from sluice_appliance.store.checking import LOST, Finding, Verdict
from sluice_appliance.store.disks import DiskState, DiskStatus, Tier
from sluice_appliance.store.tally import AuditTally
from sluice_runtime.logs import get_logger

log = get_logger(__name__)

# A small store is gone over in minutes: once in so long will do. Rot takes months.
PASS_S_MIN = 6 * 3600.0


class AuditedStore(Protocol):
    """The store, as far as this needs it."""

    def disks(self) -> Sequence[DiskStatus]: ...
    def audit(
        self, disk: str, *, may_write: Callable[[int], bool]
    ) -> AsyncIterator[int | Finding]: ...


class Pace(Protocol):
    """A budget; `fill.shaping.RateLimit` is one."""

    def next_send_at(self, size_bytes: int, now: float) -> float: ...


class FlashWrites(Protocol):
    """The budget of what is written to flash."""

    def flash_left_bytes(self) -> float: ...
    def wrote_flash(self, size_bytes: int) -> None: ...


class Scrubber:
    """Runs until cancelled. `lost` is called for each object that is no longer held, for it to come again;
    `pace` makes a budget that begins now. Old files on flash are made new out of `flash`."""

    def __init__(
        self,
        store: AuditedStore,
        tally: AuditTally,
        *,
        pace: Callable[[float], Pace],
        lost: Callable[[], None],
        flash: FlashWrites,
        rest_s: float = PASS_S_MIN,
    ) -> None:
        self._store = store
        self._flash = flash
        # Renewed between two steps, read by the thread of a step.
        self._left_bytes: dict[str, float] = {}
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
        is_flash = self._status(disk).tier is Tier.SSD
        self._renew(disk, is_flash)
        async for step in self._store.audit(disk, may_write=partial(self._may_write, disk)):
            match step:
                case int():
                    self._tally.read(step)
                    await asyncio.sleep(max(0.0, pace.next_send_at(step, now()) - now()))
                case Finding():
                    heed(step, self._tally, self._lost)
                    if is_flash and step.verdict is Verdict.UPGRADED and step.header is not None:
                        self._flash.wrote_flash(step.header.size_bytes)
                case _:
                    assert_never(step)
            self._renew(disk, is_flash)
        if self._status(disk).state is not DiskState.FAILED:
            self._tally.passed()
            log.info("disk_audited", disk=disk)

    def _renew(self, disk: str, is_flash: bool) -> None:
        self._left_bytes[disk] = self._flash.flash_left_bytes() if is_flash else inf

    def _may_write(self, disk: str, size_bytes: int) -> bool:
        return size_bytes <= self._left_bytes[disk]

    def _status(self, disk: str) -> DiskStatus:
        return next(status for status in self._store.disks() if status.name == disk)


def heed(finding: Finding, tally: AuditTally, lost: Callable[[], None]) -> None:
    """Counts what was found, and has an object that is lost come again."""
    if finding.verdict is Verdict.GONE:
        return
    tally.found(finding.verdict)
    if finding.verdict in LOST:
        lost()
