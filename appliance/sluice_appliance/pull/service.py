"""Pull-through of one box: what it is made of, and how long it runs."""

import asyncio
import resource
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sluice_appliance.fill.intake import Intake, ReadsSources
from sluice_appliance.fill.pace import Pace
from sluice_appliance.fill.pressure import Load, Pressure, PressureTuning
from sluice_appliance.fill.reputation import Reputation
from sluice_appliance.fill.tally import FillTally
from sluice_appliance.pull import snapshot
from sluice_appliance.pull.catalog import Catalog
from sluice_appliance.pull.flash import FOLDER, FlashBlocks
from sluice_appliance.pull.links import Links
from sluice_appliance.pull.memory import PASSING_MAX
from sluice_appliance.pull.puller import CHARGED_BYTES_MIN, Puller
from sluice_appliance.pull.tally import PullTally
from sluice_appliance.store.keeping import FlashCache
from sluice_appliance.store.write_budget import write_budget

# A viewer waits: a source that sends nothing for so long is left for the next.
STALL_S_MAX = 5.0
# What flash is written a day at most, as a multiple of what it keeps of pulls.
DRIVE_WRITES_PER_DAY = 1.0
# Players that are served from here come first. A busy core is no reason (a miss costs a worker what a hit
# does), nor is a loop that is late once in a while; and a pull refused is a player that goes elsewhere, so
# it is tried again soon.
_TUNING = PressureTuning(cpu=float("inf"), loop_lag_s=0.2, pause_s=1.0, pause_s_max=8.0)
_LOOK_S = 1.0
# For all that is no block: connections, files, gRPC.
_DESCRIPTORS_BESIDE = 4096


@dataclass(frozen=True, slots=True)
class PullSettings:
    """From the configuration."""

    memory_bytes: int
    flash_bytes: int
    stall_s: float
    # The disk that keeps what `flash_bytes` is for.
    flash: Path


class PullService:
    """`door`: our end of the one through which workers come; `catalog` knows nothing before it has joined
    the control plane."""

    def __init__(
        self,
        settings: PullSettings,
        door: socket.socket,
        catalog: Catalog,
        *,
        reader: ReadsSources,
        fill_tally: FillTally,
        tally: PullTally,
        reputation: Reputation,
        disks: Callable[[], Sequence[str]],
        took: Callable[[int], None],
        load: Callable[[], Load],
        now: float,
        take_flash: Callable[[int], bool] = lambda size_bytes: True,
    ) -> None:
        """`take_flash`: takes so many bytes of what flash may be written today, if it has them."""
        self.catalog = catalog
        self.cache = FlashCache(
            flash_bytes=settings.flash_bytes,
            memory_bytes=settings.memory_bytes,
            budget=write_budget(DRIVE_WRITES_PER_DAY, max(1, settings.flash_bytes), now),
            now=now,
            take_of_day=take_flash,
        )
        self._load = load
        self._pressure = Pressure(_TUNING)
        # Nothing that a player waits for is paced or paused; what is too much is refused.
        intake = Intake(
            reader, fill_tally, reputation, Pace(), stall_s=min(settings.stall_s, STALL_S_MAX)
        )
        flash = FlashBlocks(settings.flash / FOLDER if settings.flash_bytes else None, disks, tally)
        self.puller = Puller(
            self.catalog,
            intake,
            self.cache,
            flash,
            tally,
            took=took,
            pressed=lambda: self._pressure.is_paused,
        )
        self._links = Links(door, self.puller, tally)
        self._folder = settings.flash / FOLDER if settings.flash_bytes else None
        _allow_descriptors(_DESCRIPTORS_BESIDE + 2 * blocks_max(settings.memory_bytes))

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        if self._folder is not None:
            remembered = await asyncio.to_thread(snapshot.load, self._folder)
            if remembered is not None:
                self.cache.resume(remembered, loop.time())
        self._links.open()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.puller.run())
                group.create_task(self._look())
        finally:
            self._links.close()
            if self._folder is not None:
                snapshot.save(self._folder, self.cache.remembered(loop.time()))

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK_S)
            self._pressure.look(self._load(), loop.time())


def blocks_max(memory_bytes: int) -> int:
    """How many blocks a worker may be handed."""
    return memory_bytes // CHARGED_BYTES_MIN + PASSING_MAX


def _allow_descriptors(wanted: int) -> None:
    """As many as the system allows without asking anybody."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft not in (hard, resource.RLIM_INFINITY) and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
