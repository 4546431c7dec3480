"""Keeps the accounts of the fill: in memory as bytes come, in a file of the store's folder now and then.

A file that is damaged is put aside and is one that is not there: the accounts begin anew, with a counter and a
line of log.
What came since the file was last written is forgotten by a crash, some seconds of fill.
"""

import asyncio
import os
from collections.abc import Callable
from math import inf
from pathlib import Path

from sluice_appliance.fill.accounts import Accounts, AccountsDamaged, from_bytes, to_bytes
from sluice_appliance.fill.budgets import Allowance, Budget, allowance, flash_budget
from sluice_appliance.fill.percentile import headroom
from sluice_appliance.fill.policy import FillPolicy, Priority
from sluice_appliance.fill.tally import FillTally
from sluice_appliance.fill.windows import Opening, opening_at
from sluice_runtime.files import write_atomically
from sluice_runtime.logs import get_logger

log = get_logger(__name__)

SAVE_S = 10.0
# The last one that was damaged.
DAMAGED_SUFFIX = ".damaged"


class Bookkeeper:
    """`received` and `sent`: bytes that the box's network cards took in, and that players got, so far."""

    def __init__(
        self,
        path: Path | None,
        tally: FillTally,
        *,
        wall_clock: Callable[[], float],
        received: Callable[[], int] = lambda: 0,
        sent: Callable[[], int] = lambda: 0,
    ) -> None:
        self._path = path
        self._tally = tally
        self._wall_clock = wall_clock
        self._received = received
        self._sent = sent
        self.accounts = Accounts()
        # The steady clock is the loop's, and this.
        self._steady_ahead_s = 0.0
        # Of the present second: what came, and of that what could wait.
        self._came = self._waited = 0
        self._received_before = self._sent_before = 0
        self._saved_at = 0.0
        self._opening_known: tuple[FillPolicy, float, Opening | None] | None = None

    @property
    def filled_bytes(self) -> int:
        return self._tally.filled_bytes

    @property
    def sent_bytes(self) -> int:
        return self._sent()

    async def open(self) -> None:
        """What the last run kept, as far as it can be read."""
        self._received_before, self._sent_before = self._received(), self._sent()
        self._saved_at = _loop_time()
        if self._path is None:
            return
        try:
            content = await asyncio.to_thread(self._path.read_bytes)
            self.accounts, steady = from_bytes(content, wall=self._wall_clock())
        except FileNotFoundError:
            return
        except (OSError, AccountsDamaged) as error:
            self._tally.accounts_lost()
            log.error(
                "fill_accounts_lost",
                path=str(self._path),
                reason=str(error),
                put_aside=str(self._put_aside()),
            )
            return
        self._steady_ahead_s = steady - _loop_time()

    def opening(self, policy: FillPolicy) -> Opening | None:
        """The present one, by the wall clock."""
        now = self._wall_clock()
        known = self._opening_known
        # Asked for every chunk that comes: looked up once a second.
        if known is None or known[0] is not policy or not known[1] <= now < known[1] + 1.0:
            known = (policy, now, opening_at(policy.windows, now))
            self._opening_known = known
        return known[2]

    def wall(self) -> float:
        return self._wall_clock()

    def is_stopped(self, policy: FillPolicy) -> bool:
        """Whether what is not urgent is fetched no more, as it does not pay."""
        return policy.stop_below_unit_roi and self.accounts.roi.is_stopped

    def slot_left(self, policy: FillPolicy) -> float:
        """What the link's present five minutes may still take without a dearer bill."""
        if policy.billed_percentile is None:
            return inf
        month = self.accounts.month(self._wall_clock())
        return headroom(month, policy.billed_percentile).slot_bytes

    def may(self, policy: FillPolicy, *, flash_capacity_bytes: int) -> Allowance:
        """What a plan may bring now."""
        now = self._wall_clock()
        accounts = self.accounts
        return allowance(
            policy,
            now,
            ledger=accounts.ledger(opening_at(policy.windows, now)),
            link=accounts.month(now) if policy.billed_percentile is not None else None,
            flash=self._flash(policy, flash_capacity_bytes),
            is_stopped=accounts.roi.is_stopped,
        )

    def flash_left_bytes(self, policy: FillPolicy, flash_capacity_bytes: int) -> float:
        """What of a day's writes is left."""
        return self._flash(policy, flash_capacity_bytes).left_bytes

    def _flash(self, policy: FillPolicy, capacity_bytes: int) -> Budget:
        written_bytes = self.accounts.flash_written(self._steady())
        return flash_budget(policy, capacity_bytes=capacity_bytes, written_bytes=written_bytes)

    def took(self, size_bytes: int, policy: FillPolicy, priority: Priority, *, flash: bool) -> None:
        """So many bytes came from a source."""
        waits = priority is not Priority.EMERGENCY
        self._came += size_bytes
        self._waited += size_bytes if waits else 0
        self.accounts.took(size_bytes, self._wall_clock(), self.opening(policy), waits=waits)
        if flash:
            self.wrote_flash(size_bytes)

    def pulled(self, size_bytes: int) -> None:
        """So many bytes came because a player waited for them: no window's, but fetched all the same."""
        self._came += size_bytes

    def wrote_flash(self, size_bytes: int) -> None:
        self.accounts.wrote_flash(size_bytes, self._steady())

    def look(self) -> None:
        """Every second or so: what the link carried beside fill that could wait, and what fill brings."""
        received, sent = self._received(), self._sent()
        others = max(0, received - self._received_before - self._waited)
        self.accounts.link.add(self._wall_clock(), other_bytes=others)
        self.accounts.returned(
            self._steady(),
            filled_bytes=self._came,
            # Counters of workers never fall; one that does was begun anew.
            offloaded_bytes=max(0, sent - self._sent_before),
        )
        self._received_before, self._sent_before = received, sent
        self._came = self._waited = 0

    def _put_aside(self) -> Path | None:
        """Where it may be looked at; None where the disk does not let it be moved."""
        assert self._path is not None
        aside = self._path.with_suffix(DAMAGED_SUFFIX)
        try:
            os.replace(self._path, aside)
        except OSError:
            return None
        return aside

    async def save_now_and_then(self) -> None:
        if _loop_time() - self._saved_at >= SAVE_S:
            await self.save()

    async def save(self) -> None:
        """A disk that does not take it is counted; the accounts go on in memory."""
        self._saved_at = _loop_time()
        if self._path is None:
            return
        content = to_bytes(self.accounts, wall=self._wall_clock(), steady=self._steady())
        try:
            await asyncio.to_thread(write_atomically, self._path, content)
        except OSError as error:
            self._tally.disk_failed()
            log.error("fill_accounts_unsaved", path=str(self._path), reason=str(error))

    def _steady(self) -> float:
        return _loop_time() + self._steady_ahead_s


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
