"""Writes access records to a file from a thread of its own, so that no request waits for that disk.

`put` is an append to a queue in memory, below 1 us. The thread takes what has gathered four times a second
and hands it over in one `write` to a file opened to append: workers share one file, and the kernel keeps
their writes apart. The file is opened anew when its path names another or none, so that a rotation by
rename needs no signal. A disk that is too slow costs records, never requests.
"""

import os
import threading
from collections import deque
from pathlib import Path

from sluice_appliance.serving import tally

# What may wait for the disk: some 2,500 records.
BUFFERED_BYTES_MAX = 1024 * 1024
FLUSH_S = 0.25
# Once a second the path is looked at.
_FLUSHES_PER_LOOK = 4
# How long a stop waits for a disk that hangs.
CLOSE_S = 2.0


class RecordWriter:
    """Appends lines to the file at `path`; counts in `row` what became of them.

    The thread alone counts what was written and what failed, the caller what was dropped: a cell has one
    writer.
    """

    def __init__(self, path: Path, row: "memoryview[int]") -> None:
        self._path = path
        self._row = row
        self._lines: deque[bytes] = deque()
        self._put_bytes = 0
        self._taken_bytes = 0
        self._fd = -1
        self._flushes = 0
        self._stop = threading.Event()
        # A daemon: a disk that hangs must not keep a worker from ending.
        self._thread = threading.Thread(target=self._run, name="access-records", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, line: bytes) -> None:
        """Takes the line, or drops it where the disk is too far behind."""
        if self._put_bytes - self._taken_bytes + len(line) > BUFFERED_BYTES_MAX:
            self._row[tally.RECORDS_DROPPED] += 1
            return
        self._put_bytes += len(line)
        self._lines.append(line)

    def close(self) -> None:
        """Writes what is left and ends the thread, within bound."""
        self._stop.set()
        self._thread.join(CLOSE_S)

    # --- the thread's side ------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.wait(FLUSH_S):
            self._flush()
        self._flush()
        self._close_file()

    def _flush(self) -> None:
        if self._flushes % _FLUSHES_PER_LOOK == 0 and self._fd >= 0 and not self._is_current():
            self._close_file()
        self._flushes += 1
        # One by one: `put` may add at the other end meanwhile.
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if not lines:
            return
        joined = b"".join(lines)
        try:
            self._append(joined)
        except OSError:
            # Full, gone or forbidden: the counter tells, and the next flush tries the path anew.
            self._close_file()
            self._row[tally.RECORDS_FAILED] += len(lines)
        else:
            self._row[tally.RECORDS_WRITTEN] += len(lines)
        self._taken_bytes += len(joined)

    def _append(self, joined: bytes) -> None:
        if self._fd < 0:
            self._fd = open_records(self._path)
        left = memoryview(joined)
        while left:
            left = left[os.write(self._fd, left) :]

    def _is_current(self) -> bool:
        try:
            named = os.stat(self._path)
        except OSError:
            return False
        return os.path.samestat(named, os.fstat(self._fd))

    def _close_file(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def open_records(path: Path) -> int:
    """A descriptor that appends to the file at `path`, made where there is none. Raises OSError."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
    return os.open(path, flags, 0o640)


def check_records(path: Path) -> None:
    """Raises OSError where records cannot be appended to `path`."""
    os.close(open_records(path))
