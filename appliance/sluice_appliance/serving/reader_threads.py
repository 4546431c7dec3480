"""The threads that wait for one disk: started as they are needed, never more than so many.

A job costs its giver one `put`. Threads are left alone at the end of the process, for one that
a dead disk holds would keep it from ending.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue


class ReaderThreads:
    __slots__ = ("_jobs", "_most", "_started")

    def __init__(self, most: int) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._most = most
        self._started = 0

    def submit(self, job: Callable[[], None]) -> None:
        """Runs it in a thread; it raises nothing."""
        self._jobs.put(job)
        if self._started < self._most:
            self._started += 1
            name = f"read-ahead-{self._started}"
            threading.Thread(target=_work, args=(self._jobs,), name=name, daemon=True).start()

    def close(self) -> None:
        """Each thread ends after the job that it has; what waits is not begun."""
        while not self._jobs.empty():
            self._jobs.get()
        for _ in range(self._started):
            self._jobs.put(None)


def _work(jobs: "SimpleQueue[Callable[[], None] | None]") -> None:
    while (job := jobs.get()) is not None:
        job()
        # What it held goes now, not when the next one comes.
        del job
