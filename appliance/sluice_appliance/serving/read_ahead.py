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
from functools import partial
from typing import Protocol

from sluice_appliance.serving import tally
from sluice_appliance.serving.disk_jobs import JOBS_AT_ONCE, DiskJobs, Job, Waiting, Wake
from sluice_appliance.serving.reader_threads import ReaderThreads
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

    __slots__ = ("_clock", "_jobs", "_residency", "_row", "_threads")

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
        self._threads = ReaderThreads(JOBS_AT_ONCE)
        self._jobs = DiskJobs(submit or self._threads.submit, call_soon)

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

    def is_asked_for(self, source: Source, offset: int, end: int) -> bool:
        """Whether `want` would join a read that waits or runs."""
        return self._jobs.has((source, piece_at(offset, end, source.pages.size_bytes)))

    def want(
        self, source: Source, offset: int, end: int, wake: Wake, *, begun: bool
    ) -> Waiting | None:
        """Wakes on the loop when the body can be sent on from `offset`, or with what prevents it; None
        where too many wait. Whoever waits holds the source."""
        piece = piece_at(offset, end, source.pages.size_bytes)
        make = partial(_Read, source, piece, self._row, self._clock)
        return self._counted(self._jobs.ask((source, piece), make, wake, begun=begun))

    def open(
        self, path: str, make: Callable[[], Job], wake: Wake, *, begun: bool = False
    ) -> Waiting | None:
        """Has a job done that opens this path, then wakes. Those who open it at once share one."""
        return self._counted(self._jobs.ask(path, make, wake, begun=begun))

    def cancel(self, waiting: Waiting) -> None:
        """To be called by who no longer waits, so that nobody dead is woken."""
        self._jobs.cancel(waiting)

    def close(self) -> None:
        """Wakes nobody any more. Reads that threads are in end by themselves."""
        self._jobs.close()
        self._threads.close()

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

    def begin(self) -> None:
        pass

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


def bring_in(fd: int, offset: int, length: int) -> None:
    """Waits until these bytes of the file are in memory. Raises OSError, EIO where the file ends before."""
    ask_for(fd, offset, length)
    await_pages(fd, offset, length)


def ask_for(fd: int, offset: int, length: int) -> None:
    """Has the disk begin to read all of it, by one hint where it takes that: each lets go of the interpreter
    lock, and must then contend for it with the loop."""
    os.posix_fadvise(fd, offset, length, os.POSIX_FADV_WILLNEED)
    pages = (offset + length - 1) // mmap.PAGESIZE - offset // mmap.PAGESIZE + 1
    if (_of_thread().cached_pages(fd, offset, length) or 0) < pages:
        # One hint reads no more than the disk's own read-ahead, often 128 KiB.
        for start in range(offset, offset + length, HINT_BYTES):
            part_bytes = min(HINT_BYTES, offset + length - start)
            os.posix_fadvise(fd, start, part_bytes, os.POSIX_FADV_WILLNEED)


def await_pages(fd: int, offset: int, length: int) -> None:
    """Waits for what was asked for, by a byte of each part, the last one first. Raises as `bring_in`.

    Reading every byte would cost a copy and, touching every page before `sendfile` does, make the kernel
    take what was played once for what is played often: of 200 MiB so read and sent all went to the active
    list, of 200 MiB read by single bytes 13.
    """
    residency = _of_thread()
    end = offset + length
    for start in reversed(range(offset, end, HINT_BYTES)):
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


def _read_through(fd: int, offset: int, end: int) -> None:
    scratch = bytearray(HINT_BYTES)
    while offset < end:
        read = os.preadv(fd, [memoryview(scratch)[: min(HINT_BYTES, end - offset)]], offset)
        if not read:
            raise OSError(errno.EIO, f"the file ends before byte {end}")
        offset += read
