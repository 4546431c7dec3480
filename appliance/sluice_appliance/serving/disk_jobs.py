"""Waits for disks in a few threads, so that the event loop never does: bounded, each job done once.

Who asks for what another waits for joins it. All decisions are made on the loop, without a lock; a
thread runs one job and hands it back. A job costs two changes of thread and one turn
of the loop beside what it does.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Protocol

# Threads of a worker. A window is asked for whole, so that a few keep flash busy; a box with some
# spinning disks has one or two for each.
JOBS_AT_ONCE = 8
# Jobs that may wait where a response would begin: on healthy disks 0.1 s of work. Past that, it is
# kinder to send the client elsewhere.
NEW_WAITING_MAX = 64
# Jobs that may wait in all. What was begun is finished before more is begun.
WAITING_MAX = 1024

# Called on the loop: None where all went well.
Wake = Callable[[Exception | None], None]


class Job(Protocol):
    """Made when it is taken; then begun, run and landed, or dropped when nobody wants it any more."""

    def begin(self) -> None:
        """On the loop, when a thread is there for it."""

    def run(self) -> None:
        """In a thread: waits for the disk. Raises whatever is to be told to those who wait."""

    def land(self, error: Exception | None) -> None:
        """On the loop, before those who wait are woken."""

    def drop(self) -> None:
        """On the loop, instead of `run` and `land`."""


class Waiting:
    """One who waits for a job; `cancel` takes it."""

    __slots__ = ("entry", "wake")

    def __init__(self, entry: "_Entry", wake: Wake) -> None:
        self.entry = entry
        self.wake = wake


class _Entry:
    __slots__ = ("job", "key", "waiting")

    def __init__(self, key: Hashable, job: Job) -> None:
        self.key = key
        self.job = job
        # A dictionary for its order: first come, first woken.
        self.waiting: dict[Waiting, None] = {}


class DiskJobs:
    """`submit` runs a function in a thread, `call_soon` one on the loop from there."""

    __slots__ = ("_call_soon", "_queued", "_running", "_submit")

    def __init__(
        self,
        submit: Callable[[Callable[[], None]], object],
        call_soon: Callable[[Callable[[], None]], object],
    ) -> None:
        self._submit = submit
        self._call_soon = call_soon
        self._queued: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._running: dict[Hashable, _Entry] = {}

    @property
    def depth(self) -> int:
        """Jobs that wait or run."""
        return len(self._queued) + len(self._running)

    @property
    def waiting(self) -> int:
        """Jobs that no thread has taken yet."""
        return len(self._queued)

    @property
    def idle(self) -> int:
        """Threads with nothing to do."""
        return JOBS_AT_ONCE - len(self._running)

    def has(self, key: Hashable) -> bool:
        """Whether a job of this key waits or runs: who asks for it joins it."""
        return key in self._running or key in self._queued

    def ask(
        self, key: Hashable, make: Callable[[], Job], wake: Wake, *, begun: bool
    ) -> Waiting | None:
        """Wakes when the job of this key is done; None where too many wait. `begun` says that a
        response has begun and can no longer be refused."""
        entry = self._running.get(key) or self._queued.get(key)
        if entry is None:
            if not self.idle and len(self._queued) >= (WAITING_MAX if begun else NEW_WAITING_MAX):
                return None
            entry = self._take(key, make())
        waiting = Waiting(entry, wake)
        entry.waiting[waiting] = None
        return waiting

    def ask_ahead(self, key: Hashable, make: Callable[[], Job]) -> None:
        """Does it for nobody yet, where a thread is idle."""
        if self.idle and key not in self._running:
            self._take(key, make())

    def cancel(self, waiting: Waiting) -> None:
        """Does not wake it any more; a job that nobody waits for is not begun."""
        entry = waiting.entry
        entry.waiting.pop(waiting, None)
        if not entry.waiting and self._queued.get(entry.key) is entry:
            del self._queued[entry.key]
            entry.job.drop()

    def close(self) -> None:
        """Wakes nobody and begins nothing any more."""
        for entry in (*self._queued.values(), *self._running.values()):
            entry.waiting.clear()
        while self._queued:
            self._queued.popitem()[1].job.drop()

    def _take(self, key: Hashable, job: Job) -> _Entry:
        entry = _Entry(key, job)
        if self.idle:
            self._begin(entry)
        else:
            self._queued[key] = entry
        return entry

    def _begin(self, entry: _Entry) -> None:
        self._running[entry.key] = entry
        entry.job.begin()
        self._submit(lambda: self._work(entry))

    def _work(self, entry: _Entry) -> None:
        error: Exception | None = None
        try:
            entry.job.run()
        except Exception as failure:  # whatever it is, those who wait decide what follows
            error = failure
        # A loop that has ended takes nothing any more, and nobody waits.
        with suppress(RuntimeError):
            self._call_soon(lambda: self._landed(entry, error))

    def _landed(self, entry: _Entry, error: Exception | None) -> None:
        del self._running[entry.key]
        entry.job.land(error)
        if self._queued:
            self._begin(self._queued.popitem(last=False)[1])
        # Being woken, one may close others that wait here too.
        while entry.waiting:
            waiting = next(iter(entry.waiting))
            del entry.waiting[waiting]
            waiting.wake(error)
