"""Looks every second at what a fill must heed: viewers, the clock, the disks, the link's bill.

What pauses a fill pauses it here and now; what makes its plan wrong is told, and a new one is made.
"""

import asyncio
from collections.abc import Callable

from sluice_appliance.fill.bookkeeper import Bookkeeper
from sluice_appliance.fill.pace import Pace
from sluice_appliance.fill.pressure import Load, Pressure
from sluice_appliance.fill.tally import FillTally
from sluice_runtime.logs import get_logger

log = get_logger(__name__)

LOOK_S = 1.0


class Lookout:
    """`standing` is what the plan was made for, as far as it can change by itself: another one needs
    another plan. `load` is None where nobody is served."""

    def __init__(
        self,
        books: Bookkeeper,
        pace: Pace,
        tally: FillTally,
        *,
        standing: Callable[[], object],
        outdated: Callable[[], None],
        is_busy: Callable[[], bool],
        load: Callable[[], Load] | None = None,
        renew_slot: Callable[[], None] = lambda: None,
    ) -> None:
        self._books = books
        self._pace = pace
        self._tally = tally
        self._standing = standing
        self._outdated = outdated
        self._is_busy = is_busy
        self._load = load
        self._renew_slot = renew_slot
        self._pressure = Pressure()

    async def run(self) -> None:
        seen = self._standing()
        while True:
            await asyncio.sleep(LOOK_S)
            self._books.look()
            self._renew_slot()
            self._look_at_serving()
            now = self._standing()
            if now != seen:
                seen = now
                self._outdated()
            await self._books.save_now_and_then()

    def _look_at_serving(self) -> None:
        if self._load is None:
            return
        load = self._load()
        # Pressure is no matter of a fill that does nothing: it is neither paused nor counted.
        if not self._is_busy() and not self._pressure.is_paused:
            return
        signal = self._pressure.look(load, asyncio.get_running_loop().time())
        if signal is not None:
            self._tally.paused(signal)
            log.info("fill_paused", signal=signal.value)
        if self._pressure.is_paused:
            self._pace.pause()
        elif self._pace.is_paused:
            log.info("fill_goes_on")
            self._pace.go_on()
