"""The fetches that are under way: a few at a time, begun in the plan's order, kept to each new plan.

A new plan ends what it does not name and goes on with what it does: a fetch of hours is not begun anew
because something else was planned.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any

from sluice_appliance.fill.plan import Fetch
from sluice_appliance.fill.purse import Purse
from sluice_appliance.store.disks import Tier
from sluice_appliance.store.layout import ObjectHeader


@dataclass(slots=True)
class Outcome:
    """What became of the fetches since they were ordered."""

    failed: int = 0
    # When the first of those that had to wait may be tried again.
    wait_s: float = inf


@dataclass(frozen=True, slots=True)
class _Job:
    tier: Tier
    purse: Purse
    task: asyncio.Task[None]


class Crew:
    """`fetch` returns whether it was done, raises nothing, and says in the outcome what went wrong."""

    def __init__(
        self,
        fetch: Callable[[Fetch, Purse, Outcome], Coroutine[Any, Any, None]],
        purse: Callable[[Fetch], Purse],
        is_urgent: Callable[[Fetch], bool],
        *,
        concurrency: int,
    ) -> None:
        self._fetch = fetch
        self._purse = purse
        self._is_urgent = is_urgent
        self._concurrency = concurrency
        self._group = asyncio.TaskGroup()
        self._jobs: dict[ObjectHeader, _Job] = {}
        self._left: deque[Fetch] = deque()
        self._idle = asyncio.Event()
        self._idle.set()
        self.outcome = Outcome()

    async def run(self) -> None:
        """Until cancelled; `order` may be called meanwhile."""
        async with self._group:
            try:
                await asyncio.Event().wait()
            finally:
                self._left.clear()

    @property
    def is_idle(self) -> bool:
        return self._idle.is_set()

    def taken(self) -> Mapping[ObjectHeader, int]:
        """What each fetch has taken so far: a plan that is made from now on knows of so much."""
        return {wanted: job.purse.taken_bytes for wanted, job in self._jobs.items()}

    def promised_bytes(self, tier: Tier | None = None) -> float:
        """What all purses together may still take, or those of objects that come to one tier."""
        return sum(
            max(0.0, job.purse.left_bytes)
            for job in self._jobs.values()
            if tier in (None, job.tier)
        )

    async def keep_only(self, fetches: Sequence[Fetch]) -> None:
        """Ends all others, and the last of these where urgent ones would have to wait for them; returns
        when they have let go of their files."""
        self._left.clear()
        kept = {fetch.wanted for fetch in self._kept(fetches)}
        ended = [job.task for wanted, job in self._jobs.items() if wanted not in kept]
        for task in ended:
            task.cancel()
        if ended:
            await asyncio.wait(ended)

    def _kept(self, fetches: Sequence[Fetch]) -> Sequence[Fetch]:
        running = [fetch for fetch in fetches if fetch.wanted in self._jobs]
        waiting = [
            fetch for fetch in fetches if self._is_urgent(fetch) and fetch.wanted not in self._jobs
        ]
        patient = [fetch for fetch in running if not self._is_urgent(fetch)]
        room = max(0, self._concurrency - (len(running) - len(patient)) - len(waiting))
        return [fetch for fetch in running if self._is_urgent(fetch)] + patient[:room]

    def order(self, fetches: Sequence[Fetch], taken: Mapping[ObjectHeader, int]) -> None:
        """From now on these, in order; `taken`: as it was before they were planned."""
        self.outcome = Outcome()
        for fetch in fetches:
            if (job := self._jobs.get(fetch.wanted)) is not None:
                job.purse.fill(fetch.take_bytes, taken.get(fetch.wanted, 0))
        self._left = deque(fetch for fetch in fetches if not self._is_running(fetch))
        self._begin_more()

    async def until_idle(self) -> None:
        await self._idle.wait()

    def _begin_more(self) -> None:
        while self._left and len(self._jobs) < self._concurrency:
            fetch = self._left.popleft()
            purse = self._purse(fetch)
            task = self._group.create_task(self._fetch(fetch, purse, self.outcome))
            self._jobs[fetch.wanted] = _Job(fetch.tier, purse, task)
            # Not at the end of what it does: one that is cancelled before it begins does nothing.
            task.add_done_callback(partial(self._ended, fetch.wanted))
        if self._jobs:
            self._idle.clear()
        else:
            self._idle.set()

    def _is_running(self, fetch: Fetch) -> bool:
        job = self._jobs.get(fetch.wanted)
        return job is not None and not job.task.done()

    def _ended(self, wanted: ObjectHeader, task: "asyncio.Task[None]") -> None:
        if self._jobs[wanted].task is task:
            del self._jobs[wanted]
        self._begin_more()
