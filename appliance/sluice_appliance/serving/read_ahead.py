"""Brings bodies into memory before they are sent: `sendfile` then finds every page and never waits.

A connection asks how far it may send (`reach`); where it may not send at all it waits (`want`) until a
thread has read the piece. Sequential readers find their next piece begun. A hot object costs its
connection 0.1 us, where it has more than one window 0.9 us; once a second for each window a question to
the kernel (residency.py). A cold MiB costs 0.4 ms of CPU, most of it in the kernel, in a thread.
"""

import errno
import mmap
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Generic, Protocol, TypeVar

from sluice_appliance.serving import tally
from sluice_appliance.serving.disk_jobs import JOBS_AT_ONCE, DiskJobs, Waiting, Wake
from sluice_appliance.serving.residency import Residency
from sluice_appliance.serving.windows import (
    REACH_BYTES,
    KnownPages,
    Piece,
    piece_at,
    plan_ahead,
    window_at,
)
from sluice_appliance.store.layout import BODY_OFFSET

# The most that every kernel reads for one hint: Linux's own read-ahead unless told otherwise.
HINT_BYTES = 128 * 1024

T = TypeVar("T")


class Source(Protocol):
    """An open object. It stays open while `users` is above 0."""

    # The root of the disk that it is on.
    disk: str
    fd: int
    users: int
    pages: KnownPages

    def release(self) -> None: ...


class ReadAhead:
    """The reading of one disk by one worker; `call_soon` is the loop's `call_soon_threadsafe`.

    reach = ahead.reach(source, offset, end, now)
    if reach == offset:
        waiting = ahead.want(source, offset, end, wake, begun=False)
    """

    __slots__ = ("_clock", "_executor", "_jobs", "_residency", "_row")

    def __init__(
        self,
        row: "memoryview[int]",
        call_soon: Callable[[Callable[[], None]], object],
        clock: Callable[[], float],
        *,
        residency: Residency | None = None,
        submit: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self._row = row
        self._clock = clock
        self._residency = residency or Residency()
        self._executor = ThreadPoolExecutor(JOBS_AT_ONCE, "read-ahead")
        self._jobs = DiskJobs(submit or self._executor.submit, call_soon)

    @property
    def depth(self) -> int:
        """How many reads and openings wait or run."""
        return self._jobs.depth

    @property
    def waiting(self) -> int:
        """How many of them no thread has taken yet."""
        return self._jobs.waiting

    def reach(self, source: Source, offset: int, end: int, now: float) -> int:
        """Up to where the body may be sent from `offset`, `end` at most; `offset` itself where a disk
        must be read first. Begins to read what follows."""
        pages = source.pages
        if now < pages.all_until:
            return end
        reach, limit = offset, min(end, offset + REACH_BYTES)
        while reach < limit:
            further = pages.reach(reach, now)
            if further == reach:
                further = self._look(source, reach, end, now)
            if further == reach:
                self._read_on(source, offset, reach, end)
                return reach
            reach = further
        return min(reach, end)

    def want(
        self, source: Source, offset: int, end: int, wake: Wake, *, begun: bool
    ) -> Waiting | None:
        """Wakes on the loop when the body can be sent on from `offset`, or with what prevents it; None
        where too many wait. Whoever waits holds the source."""
        piece = piece_at(offset, end, source.pages.size_bytes)
        make = partial(_Read, source, piece, self._row, self._clock)
        return self._counted(self._jobs.ask((source, piece), make, wake, begun=begun))

    def open(
        self,
        path: str,
        opening: Callable[[], T],
        opened: Callable[[T], None],
        wake: Wake,
        *,
        begun: bool = False,
    ) -> Waiting | None:
        """Runs `opening` in a thread, then `opened` with what it gives, whoever still waits, then
        wakes. Those who open the same path at once share one opening."""
        make = partial(_Opening, opening, opened)
        return self._counted(self._jobs.ask(path, make, wake, begun=begun))

    def cancel(self, waiting: Waiting) -> None:
        """To be called by who no longer waits, so that nobody dead is woken."""
        self._jobs.cancel(waiting)

    def close(self) -> None:
        """Wakes nobody any more. Reads that threads are in end by themselves."""
        self._jobs.close()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _look(self, source: Source, offset: int, end: int, now: float) -> int:
        """Asks the kernel: for the window, and where that is not all there, for what is wanted of it."""
        size_bytes = source.pages.size_bytes
        window, piece = window_at(offset, size_bytes), piece_at(offset, end, size_bytes)
        for each in (window,) if window == piece else (window, piece):
            if self._residency.holds(source.fd, BODY_OFFSET + each.offset, each.length):
                source.pages.note(each, now)
                return each.end
        return offset

    def _read_on(self, source: Source, offset: int, reach: int, end: int) -> None:
        size_bytes = source.pages.size_bytes
        piece = plan_ahead(offset, reach, end, size_bytes, idle=self._jobs.idle)
        if piece is not None:
            make = partial(_Read, source, piece, self._row, self._clock)
            self._jobs.ask_ahead((source, piece), make)

    def _counted(self, waiting: Waiting | None) -> Waiting | None:
        if waiting is None:
            self._row[tally.READ_AHEADS_REFUSED] += 1
        return waiting


class _Read:
    """Brings a piece of a body into memory; the object stays open until it has landed."""

    __slots__ = ("_clock", "_piece", "_row", "_source")

    def __init__(
        self, source: Source, piece: Piece, row: "memoryview[int]", clock: Callable[[], float]
    ) -> None:
        source.users += 1
        self._source = source
        self._piece = piece
        self._row = row
        self._clock = clock

    def run(self) -> None:
        bring_in(self._source.fd, BODY_OFFSET + self._piece.offset, self._piece.length)

    def land(self, error: Exception | None) -> None:
        if error is None:
            self._row[tally.READ_AHEADS] += 1
            self._row[tally.READ_AHEAD_BYTES] += self._piece.length
            self._source.pages.note(self._piece, self._clock())
        else:
            self._row[tally.READ_AHEADS_FAILED] += 1
        self._source.release()

    def drop(self) -> None:
        self._source.release()


class _Opening(Generic[T]):
    __slots__ = ("_found", "_opened", "_opening")

    def __init__(self, opening: Callable[[], T], opened: Callable[[T], None]) -> None:
        self._opening = opening
        self._opened = opened
        self._found: T | None = None

    def run(self) -> None:
        self._found = self._opening()

    def land(self, error: Exception | None) -> None:
        if error is None and self._found is not None:
            self._opened(self._found)

    def drop(self) -> None:
        pass


def bring_in(fd: int, offset: int, length: int) -> None:
    """Waits until these bytes of the file are in memory. Raises OSError, EIO where the file ends before.

    All is asked for at once, and waited for by a byte of each part, the last one first: two calls that
    let go of the interpreter lock where sixteen would each contend for it with the loop. Reading every
    byte would cost a copy and, touching every page before `sendfile` does, make the kernel take what
    was played once for what is played often: of 200 MiB so read and sent all went to the active list,
    of 200 MiB read by single bytes 13.
    """
    residency = _of_thread()
    end = offset + length
    starts = range(offset, end, HINT_BYTES)
    os.posix_fadvise(fd, offset, length, os.POSIX_FADV_WILLNEED)
    pages = (offset + length - 1) // mmap.PAGESIZE - offset // mmap.PAGESIZE + 1
    if (residency.cached_pages(fd, offset, length) or 0) < pages:
        ask_for(fd, offset, length)
    for start in reversed(starts):
        last = min(start + HINT_BYTES, end) - 1
        if not residency.has(fd, last) and not os.pread(fd, 1, last):
            raise OSError(errno.EIO, f"the file ends before byte {last + 1}")
    if not residency.is_exact(fd) or not residency.holds(fd, offset, length):
        # A file system that takes no hints, or a kernel that does not tell.
        _read_through(fd, offset, end)


def _of_thread() -> Residency:
    found: Residency | None = getattr(_threads, "residency", None)
    if found is None:
        found = _threads.residency = Residency()
    return found


_threads = threading.local()


def ask_for(fd: int, offset: int, length: int) -> None:
    """Has the disk begin to read all of it. One hint reads no more than the disk's own read-ahead, often
    128 KiB."""
    for start in range(offset, offset + length, HINT_BYTES):
        part_bytes = min(HINT_BYTES, offset + length - start)
        os.posix_fadvise(fd, start, part_bytes, os.POSIX_FADV_WILLNEED)


def _read_through(fd: int, offset: int, end: int) -> None:
    scratch = bytearray(HINT_BYTES)
    while offset < end:
        read = os.preadv(fd, [memoryview(scratch)[: min(HINT_BYTES, end - offset)]], offset)
        if not read:
            raise OSError(errno.EIO, f"the file ends before byte {end}")
        offset += read
