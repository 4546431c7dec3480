"""Files of which serving could not read a byte: each is checked at once, as the audit would when it comes to it.

One that is damaged is put away and its object comes again; one that is sound was a disk that stumbled.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol, assert_never

from sluice_appliance.store.checking import Finding
from sluice_appliance.store.scrubbing import Pace, heed
from sluice_appliance.store.tally import AuditTally

# That wait. A disk that dies fails at more; those are told again, or found by the audit.
SUSPECTS_MAX = 1024


class CheckedStore(Protocol):
    """The store, as far as this needs it."""

    def recheck(self, path: str, suspect_byte: int) -> AsyncIterator[int | Finding]: ...


class Suspects:
    """`add` at any time; `run` checks one after the other until cancelled. `lost` is called for each
    object that is no longer held; `pace` makes a budget that begins now."""

    def __init__(
        self,
        store: CheckedStore,
        tally: AuditTally,
        *,
        pace: Callable[[float], Pace],
        lost: Callable[[], None],
    ) -> None:
        self._store = store
        self._tally = tally
        self._pace = pace
        self._lost = lost
        self._waiting: dict[str, int] = {}
        self._some = asyncio.Event()

    def add(self, path: str, suspect_byte: int) -> None:
        """The first byte that was told of a file counts."""
        if path in self._waiting:
            return
        if len(self._waiting) >= SUSPECTS_MAX:
            self._tally.suspect_dropped()
            return
        self._waiting[path] = suspect_byte
        self._some.set()

    async def run(self) -> None:
        now = asyncio.get_running_loop().time
        pace = self._pace(now())
        while True:
            await self._some.wait()
            path = next(iter(self._waiting))
            await self._check(path, self._waiting[path], pace)
            del self._waiting[path]
            if not self._waiting:
                self._some.clear()

    async def _check(self, path: str, suspect_byte: int, pace: Pace) -> None:
        now = asyncio.get_running_loop().time
        async for step in self._store.recheck(path, suspect_byte):
            match step:
                case int():
                    self._tally.read(step)
                    await asyncio.sleep(max(0.0, pace.next_send_at(step, now()) - now()))
                case Finding():
                    heed(step, self._tally, self._lost)
                case _:
                    assert_never(step)
