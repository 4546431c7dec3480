"""Who waits for a disk: permits come back whatever becomes of a wait, and each wakes once."""

import os
import random
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from appliance.serving.worker_by_hand import new_row

from sluice_appliance.serving.cold_reads import ColdReads, DiskReads, Pending, Shed
from sluice_appliance.serving.concurrency import ConcurrencyLimiter
from sluice_appliance.serving.disk_jobs import JOBS_AT_ONCE, NEW_WAITING_MAX
from sluice_appliance.serving.objects import Cold
from sluice_appliance.serving.read_ahead import ReadAhead
from sluice_appliance.serving.windows import NOTHING, WINDOW_BYTES, KnownPages, Piece
from sluice_appliance.store.layout import BODY_OFFSET

SIZE = 40 * WINDOW_BYTES
ROOT = "/disks/a"
OTHER = "/disks/b"


class Body:
    """An open file, as sparse as a file can be."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(b"")
        os.truncate(path, BODY_OFFSET + SIZE)
        self.disk = ROOT
        self.fd = os.open(path, os.O_RDONLY)
        self.users = 1
        self.pages = KnownPages(SIZE)

    def release(self) -> None:
        self.users -= 1


class Disk:
    """Does what it is given when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0
        self.jobs: deque[Callable[[], None]] = deque()
        self.woken: list[Exception | None] = []
        self.limiter = ConcurrencyLimiter(self.now)
        limiters = iter((self.limiter, ConcurrencyLimiter(self.now)))
        self.reads = ColdReads(
            (ROOT, OTHER), lambda: DiskReads(self._ahead(), next(limiters)), lambda: self.now
        )

    def _ahead(self) -> ReadAhead:
        return ReadAhead(new_row(), lambda call: call(), lambda: self.now, submit=self.jobs.append)

    def work(self) -> None:
        while self.jobs:
            self.now += 0.001
            self.jobs.popleft()()


@pytest.fixture
def disk() -> Iterator[Disk]:
    found = Disk()
    yield found
    found.reads.close()


@pytest.fixture
def body(tmp_path: Path) -> Iterator[Body]:
    found = Body(tmp_path / "body")
    yield found
    os.close(found.fd)


def begin(disk: Disk, body: Body, window: int) -> Pending | Shed:
    offset = window * WINDOW_BYTES
    return disk.reads.begin(body, offset, offset + 1000, disk.woken.append)


def cold(
    opening: Callable[[], Any],
    opened: Callable[[Any], None] = print,
    name: str = "a",
    root: str = ROOT,
) -> Cold:
    return Cold(f"{root}/objects/00/{name}", lambda wanted: opening(), opened)


def test_a_wait_that_ends_well_wakes_once_and_gives_its_permit_back(disk: Disk, body: Body) -> None:
    assert isinstance(begin(disk, body, 0), Pending)
    assert (disk.limiter.in_flight, disk.woken) == (1, [])
    disk.work()
    assert (disk.limiter.in_flight, disk.woken, body.users) == (0, [None], 1)


def test_a_wait_that_is_cancelled_never_wakes_and_gives_its_permit_back_once(
    disk: Disk, body: Body
) -> None:
    pending = begin(disk, body, 0)
    assert isinstance(pending, Pending)
    pending.cancel()
    pending.cancel()
    disk.work()
    assert (disk.limiter.in_flight, disk.woken, body.users) == (0, [], 1)


def test_a_wait_that_fails_is_told_why_and_gives_its_permit_back(disk: Disk) -> None:
    def opening() -> None:
        raise OSError(5, "Input/output error")

    assert isinstance(disk.reads.open(cold(opening), disk.woken.append), Pending)
    disk.work()
    (error,) = disk.woken
    assert isinstance(error, OSError)
    assert disk.limiter.in_flight == 0


def test_responses_that_would_begin_are_refused_at_the_limit_and_those_begun_wait_on(
    disk: Disk, body: Body
) -> None:
    limit = disk.limiter.limit
    begun = [begin(disk, body, window) for window in range(limit)]
    assert all(isinstance(each, Pending) for each in begun)
    assert begin(disk, body, limit) is Shed.DISK_BUSY
    assert disk.limiter.in_flight == limit
    # One that has begun waits on, whatever the limit is.
    offset = limit * WINDOW_BYTES
    assert disk.reads.want(body, offset, offset + 1000, disk.woken.append) is not None
    disk.work()
    assert disk.limiter.in_flight == 0
    assert disk.woken == [None] * (limit + 1)


def test_who_asks_for_what_is_read_for_another_needs_no_permit(disk: Disk, body: Body) -> None:
    """What everybody wants at once is read once: nobody is sent away for it."""
    limit = disk.limiter.limit
    crowd = [begin(disk, body, 0) for _ in range(5 * limit)]
    assert all(isinstance(each, Pending) for each in crowd)
    assert disk.limiter.in_flight == len(disk.jobs) == 1
    assert disk.reads.want(body, 0, 1000, disk.woken.append) is not None
    assert disk.limiter.in_flight == 1
    # The one who asked first leaves: the others' read goes on, and the disk may be asked for more.
    crowd[0].cancel()  # type: ignore[union-attr]
    assert disk.limiter.in_flight == 0
    disk.work()
    assert disk.woken == [None] * (5 * limit)
    assert (disk.limiter.in_flight, body.users) == (0, 1)


def test_openings_beyond_the_queue_are_refused_and_the_others_are_done(disk: Disk) -> None:
    opened: list[int] = []
    begun = [
        disk.reads.open(cold(partial(int, number), opened.append, str(number)), disk.woken.append)
        for number in range(JOBS_AT_ONCE + NEW_WAITING_MAX + 10)
    ]
    assert begun.count(Shed.QUEUE_FULL) == 10
    disk.work()
    assert len(opened) == len(disk.woken) == JOBS_AT_ONCE + NEW_WAITING_MAX


def test_a_read_that_finds_the_queue_full_keeps_no_permit(disk: Disk, body: Body) -> None:
    for number in range(JOBS_AT_ONCE + NEW_WAITING_MAX):
        disk.reads.open(cold(int, name=str(number)), lambda error: None)
    assert begin(disk, body, 0) is Shed.QUEUE_FULL
    assert disk.limiter.in_flight == 0


def test_in_any_order_of_beginning_ending_and_leaving_no_permit_is_lost(
    disk: Disk, body: Body
) -> None:
    rng = random.Random(23)
    waiting: list[Pending] = []
    expected = 0
    for _ in range(2000):
        match rng.randrange(4):
            case 0 | 1:
                begun = begin(disk, body, rng.randrange(40))
                if isinstance(begun, Pending):
                    waiting.append(begun)
                    expected += 1
            case 2 if waiting:
                leaving = waiting.pop(rng.randrange(len(waiting)))
                if leaving.waiting is not None:
                    leaving.cancel()
                    expected -= 1
            case _:
                if disk.jobs:
                    disk.now += 0.001
                    disk.jobs.popleft()()
    disk.work()
    assert disk.limiter.in_flight == 0
    assert len(disk.woken) == expected
    assert body.users == 1


def test_a_disk_that_has_enough_to_do_takes_nothing_of_another(disk: Disk, body: Body) -> None:
    for number in range(JOBS_AT_ONCE + NEW_WAITING_MAX):
        disk.reads.open(cold(int, name=str(number), root=OTHER), lambda error: None)
    assert disk.reads.waiting == NEW_WAITING_MAX
    assert disk.reads.open(cold(int, name="more", root=OTHER), lambda error: None) is (
        Shed.QUEUE_FULL
    )
    assert isinstance(begin(disk, body, 0), Pending)
    assert isinstance(disk.reads.open(cold(int), lambda error: None), Pending)


def test_who_may_be_refused_after_the_opening_has_nothing_read_for_it(
    disk: Disk, body: Body
) -> None:
    asked: list[Piece] = []
    wanted = Piece(7 * WINDOW_BYTES, WINDOW_BYTES)

    def open_one(name: str) -> None:
        found = Cold(f"{ROOT}/objects/00/{name}", asked.append, lambda opened: None)  # type: ignore[arg-type]
        disk.reads.open(found, disk.woken.append, wanted=wanted)

    for number in range(disk.limiter.limit):
        open_one(f"first-{number}")
    assert disk.limiter.in_flight == disk.limiter.limit
    assert begin(disk, body, 0) is Shed.DISK_BUSY
    open_one("second")
    disk.work()
    assert asked == [*([wanted] * (len(asked) - 1)), NOTHING]
    assert disk.limiter.in_flight == 0
