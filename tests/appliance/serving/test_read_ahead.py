"""Reading ahead: real threads over real files that were put out of memory, on quick and slow disks."""

import errno
import os
import queue
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from appliance.serving.slow_disk import evict, slow_disk

from sluice_appliance.serving import tally
from sluice_appliance.serving.read_ahead import HINT_BYTES, ReadAhead, bring_in
from sluice_appliance.serving.residency import Residency, stop_kernel_read_ahead
from sluice_appliance.serving.windows import WINDOW_BYTES, KnownPages
from sluice_appliance.store.layout import BODY_OFFSET

MIB = 1024 * 1024
DEADLINE_S = 30.0


class OnDisk:
    """An open object whose bytes are not in memory."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        path.write_bytes(os.urandom(BODY_OFFSET + size_bytes))
        self.path = path
        self.disk = str(path.parent)
        self.fd = os.open(path, os.O_RDONLY)
        self.users = 1
        self.pages = KnownPages(size_bytes)
        stop_kernel_read_ahead(self.fd)
        evict(path)
        if Residency().holds(self.fd, 0, size_bytes):
            pytest.skip("the file system of the temporary folder is memory: nothing can be evicted")

    def release(self) -> None:
        self.users -= 1
        if not self.users:
            os.close(self.fd)

    def holds(self, offset: int, length: int) -> bool:
        return Residency().holds(self.fd, BODY_OFFSET + offset, length)


class Opening:
    """Of a file that is read whole."""

    def __init__(self, path: Path, opened: Callable[[bytes], None]) -> None:
        self._path = path
        self._opened = opened
        self._page = b""

    def begin(self) -> None:
        pass

    def run(self) -> None:
        self._page = self._path.read_bytes()

    def land(self, error: Exception | None) -> None:
        if error is None:
            self._opened(self._page)

    def drop(self) -> None:
        pass


class Loop:
    """An event loop that turns when told to, and a clock that stands."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.now = 100.0
        self.row = memoryview(array("Q", [0] * tally.CELLS))
        self.told: list[Exception | None] = []
        self.ahead = ReadAhead(self.row, self._calls.put, lambda: self.now)

    def wake(self, error: Exception | None) -> None:
        self.told.append(error)

    def turn(self) -> None:
        """Waits for one thread to hand something back."""
        self._calls.get(timeout=DEADLINE_S)()

    def settle(self) -> None:
        while self.ahead.depth:
            self.turn()


@contextmanager
def a_loop() -> Iterator[Loop]:
    loop = Loop()
    try:
        yield loop
    finally:
        loop.settle()
        loop.ahead.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    with a_loop() as made:
        yield made


def test_a_cold_object_is_sent_piece_by_piece_and_every_piece_is_in_memory_first(
    loop: Loop, tmp_path: Path
) -> None:
    size = 3 * WINDOW_BYTES + 70_001
    source = OnDisk(tmp_path / "object", size)
    offset = 0
    while offset < size:
        reach = loop.ahead.reach(source, offset, size, loop.now)
        if reach == offset:
            assert loop.ahead.want(source, offset, size, loop.wake, begun=offset > 0)
            while not loop.told:
                loop.turn()
            assert loop.told.pop() is None
        else:
            assert source.holds(offset, reach - offset)
            offset = reach
    loop.settle()
    assert loop.row[tally.READ_AHEAD_BYTES] == size
    assert loop.row[tally.READ_AHEADS] == 4
    assert source.users == 1
    source.release()


def test_a_hot_object_is_sent_at_once_and_the_kernel_is_asked_once_a_second(
    loop: Loop, tmp_path: Path
) -> None:
    source = OnDisk(tmp_path / "object", 700_000)
    bring_in(source.fd, 0, BODY_OFFSET + 700_000)
    assert loop.ahead.reach(source, 0, 700_000, loop.now) == 700_000
    evict(source.path)
    assert loop.ahead.reach(source, 5, 600_000, loop.now + 0.9) == 600_000
    assert loop.ahead.reach(source, 5, 600_000, loop.now + 1.0) == 5
    assert loop.row[tally.READ_AHEADS] == 0
    source.release()


def test_a_reader_that_sends_one_window_finds_the_next_one_begun(
    loop: Loop, tmp_path: Path
) -> None:
    source = OnDisk(tmp_path / "object", 4 * MIB)
    bring_in(source.fd, BODY_OFFSET, WINDOW_BYTES)
    assert loop.ahead.reach(source, 0, 4 * MIB, loop.now) == WINDOW_BYTES
    assert loop.ahead.depth == 1
    loop.settle()
    assert source.holds(WINDOW_BYTES, WINDOW_BYTES)
    assert not source.holds(2 * WINDOW_BYTES, HINT_BYTES)
    source.release()


def test_a_small_range_of_a_cold_object_leaves_the_rest_on_the_disk(
    loop: Loop, tmp_path: Path
) -> None:
    source = OnDisk(tmp_path / "object", 4 * MIB)
    start = 2 * MIB + 200_000
    assert loop.ahead.reach(source, start, start + 1000, loop.now) == start
    assert loop.ahead.want(source, start, start + 1000, loop.wake, begun=False)
    loop.settle()
    assert loop.told == [None]
    assert loop.ahead.reach(source, start, start + 1000, loop.now) == start + 1000
    assert loop.row[tally.READ_AHEAD_BYTES] <= 128 * 1024
    assert not source.holds(3 * MIB, 4096)
    source.release()


def test_many_who_want_the_same_piece_are_woken_by_one_read(loop: Loop, tmp_path: Path) -> None:
    source = OnDisk(tmp_path / "object", MIB)
    for _ in range(50):
        assert loop.ahead.want(source, 0, MIB, loop.wake, begun=False)
    loop.settle()
    assert loop.told == [None] * 50
    assert loop.row[tally.READ_AHEADS] == 1
    source.release()


def test_an_object_stays_open_while_a_thread_reads_it_though_its_client_left(
    loop: Loop, tmp_path: Path
) -> None:
    source = OnDisk(tmp_path / "object", MIB)
    waiting = loop.ahead.want(source, 0, MIB, loop.wake, begun=False)
    assert waiting is not None
    loop.ahead.cancel(waiting)
    source.release()
    assert source.users == 1
    os.fstat(source.fd)
    loop.settle()
    assert source.users == 0
    assert loop.told == []


def test_an_object_cut_short_is_told_to_who_waits_and_counted(loop: Loop, tmp_path: Path) -> None:
    source = OnDisk(tmp_path / "object", 2 * MIB)
    os.truncate(source.path, MIB)
    assert loop.ahead.reach(source, MIB, 2 * MIB, loop.now) == MIB
    assert loop.ahead.want(source, MIB, 2 * MIB, loop.wake, begun=True)
    loop.settle()
    [error] = loop.told
    assert isinstance(error, OSError)
    assert error.errno == errno.EIO
    assert loop.row[tally.READ_AHEADS_FAILED] == 1
    source.release()


def test_a_file_opened_in_a_thread_is_handed_over_once_before_those_who_wait_are_woken(
    loop: Loop, tmp_path: Path
) -> None:
    order: list[str] = []
    path = tmp_path / "object"
    path.write_bytes(b"page")
    for who in ("first", "second"):
        assert loop.ahead.open(
            str(path),
            partial(Opening, path, lambda page: order.append(f"opened {page.decode()}")),
            lambda error, who=who: order.append(f"{who} {error}"),  # type: ignore[misc]
        )
    loop.settle()
    assert order == ["opened page", "first None", "second None"]


def test_an_absent_file_is_told_as_absent_and_opened_by_nobody(loop: Loop, tmp_path: Path) -> None:
    path = tmp_path / "absent"
    opened: list[bytes] = []
    assert loop.ahead.open(str(path), partial(Opening, path, opened.append), loop.wake)
    loop.settle()
    assert isinstance(loop.told[0], FileNotFoundError)
    assert not opened


def test_what_is_brought_in_is_all_there_down_to_the_last_page(tmp_path: Path) -> None:
    source = OnDisk(tmp_path / "object", 3 * MIB)
    for offset, length in ((0, 1), (4096, HINT_BYTES + 1), (MIB + 17, MIB), (3 * MIB, BODY_OFFSET)):
        evict(source.path)
        bring_in(source.fd, offset, length)
        assert Residency().holds(source.fd, offset, length)
    source.release()


def test_what_is_on_its_way_from_a_slow_disk_is_not_taken_for_there(tmp_path: Path) -> None:
    """The kernel counts such pages as cached: a worker that believed it would wait in `sendfile`."""
    with slow_disk(tmp_path, size_bytes=64 * MIB) as disk, a_loop() as loop:
        source = OnDisk(disk.path / "object", 8 * MIB)
        disk.slow_down(os.getpid())
        began = time.perf_counter()
        for offset in range(0, 8 * MIB, MIB):
            os.posix_fadvise(source.fd, BODY_OFFSET + offset, MIB, os.POSIX_FADV_WILLNEED)
        looks, slowest_s, reach = 0, 0.0, 0
        while not reach:
            asked = time.perf_counter()
            reach = loop.ahead.reach(source, 7 * MIB, 8 * MIB, loop.now)
            slowest_s = max(slowest_s, time.perf_counter() - asked)
            reach -= 7 * MIB
            looks += 1
            time.sleep(0.001)
        waited_s = time.perf_counter() - began
        source.release()
    assert waited_s > 0.2, "the disk is not slow"
    assert looks > 20
    assert slowest_s < 0.05, "asking waited for the disk"
