"""Jobs for disks, with threads that are cranked by hand: who is woken, in what order, and who is not."""

import random
from collections.abc import Callable

import pytest

from sluice_appliance.serving.disk_jobs import (
    JOBS_AT_ONCE,
    NEW_WAITING_MAX,
    WAITING_MAX,
    DiskJobs,
    Waiting,
)


class Disk:
    """Threads and loop in one: a job runs when `step` says so."""

    def __init__(self) -> None:
        self.submitted: list[Callable[[], None]] = []
        self.jobs = DiskJobs(self.submitted.append, lambda call: call())
        self.told: list[str] = []
        self.made = 0

    def ask(
        self,
        name: str,
        *,
        begun: bool = False,
        who: str = "",
        fails: bool = False,
    ) -> Waiting | None:
        def wake(error: Exception | None) -> None:
            self.told.append(f"{who or name}: {error or 'woken'}")

        return self.jobs.ask(name, lambda: ToldJob(self, name, fails), wake, begun=begun)

    def step(self, number: int = 0) -> None:
        self.submitted.pop(number)()

    def finish(self) -> None:
        while self.submitted:
            self.step()


class ToldJob:
    def __init__(self, disk: Disk, name: str, fails: bool) -> None:
        self._told, self._name, self._fails = disk.told, name, fails
        self._begun = False
        disk.made += 1

    def begin(self) -> None:
        self._begun = True

    def run(self) -> None:
        self._told.append(f"run {self._name}" if self._begun else f"{self._name} was not begun")
        if self._fails:
            raise OSError("the disk is gone")

    def land(self, error: Exception | None) -> None:
        self._told.append(f"land {self._name}")

    def drop(self) -> None:
        self._told.append(f"drop {self._name}")


def occupied() -> Disk:
    """A disk with all threads in a job and an empty queue."""
    disk = Disk()
    for number in range(JOBS_AT_ONCE):
        assert disk.ask(f"busy {number}")
    return disk


def test_a_job_is_run_then_landed_then_those_who_wait_are_woken() -> None:
    disk = Disk()
    disk.ask("a")
    assert disk.told == []
    disk.finish()
    assert disk.told == ["run a", "land a", "a: woken"]
    assert disk.jobs.depth == 0


def test_what_many_wait_for_is_done_once_and_all_are_woken_in_order() -> None:
    disk = Disk()
    for who in ("first", "second", "third"):
        disk.ask("a", who=who)
    assert disk.jobs.depth == 1
    disk.finish()
    assert disk.told == ["run a", "land a", "first: woken", "second: woken", "third: woken"]


def test_all_who_wait_are_told_what_the_disk_said() -> None:
    disk = Disk()
    disk.ask("a", who="first", fails=True)
    disk.ask("a", who="second")
    disk.finish()
    assert disk.told[-2:] == ["first: the disk is gone", "second: the disk is gone"]


def test_who_was_cancelled_is_not_woken_and_the_others_are() -> None:
    disk = Disk()
    first, _ = disk.ask("a", who="first"), disk.ask("a", who="second")
    assert first is not None
    disk.jobs.cancel(first)
    disk.jobs.cancel(first)
    disk.finish()
    assert disk.told == ["run a", "land a", "second: woken"]


def test_one_who_is_woken_may_cancel_another_that_waits_for_the_same() -> None:
    disk = Disk()
    disk.jobs.ask("a", lambda: ToldJob(disk, "a", False), lambda _: cancel(), begun=False)
    second = disk.ask("a", who="second")

    def cancel() -> None:
        assert second is not None
        disk.jobs.cancel(second)

    disk.finish()
    assert disk.told == ["run a", "land a"]


def test_a_job_that_nobody_waits_for_any_more_is_never_begun() -> None:
    disk = occupied()
    waiting = disk.ask("left")
    assert waiting is not None
    disk.jobs.cancel(waiting)
    assert disk.told == ["drop left"]
    disk.finish()
    assert "run left" not in disk.told


def test_when_too_many_wait_a_new_response_is_refused_and_one_that_began_is_not() -> None:
    disk = occupied()
    for number in range(NEW_WAITING_MAX):
        assert disk.ask(f"new {number}")
    assert disk.ask("one more") is None
    assert disk.ask("new 7") is not None, "joining costs nothing"
    for number in range(NEW_WAITING_MAX, WAITING_MAX):
        assert disk.ask(f"begun {number}", begun=True)
    assert disk.ask("one more", begun=True) is None
    assert disk.jobs.depth == JOBS_AT_ONCE + WAITING_MAX
    disk.finish()
    assert disk.ask("one more") is not None


def test_a_disk_that_hangs_keeps_no_room_for_clients_that_left() -> None:
    disk = occupied()
    for number in range(10 * WAITING_MAX):
        waiting = disk.ask(f"visitor {number}")
        assert waiting is not None
        disk.jobs.cancel(waiting)
    assert disk.jobs.depth == JOBS_AT_ONCE


def test_reading_ahead_takes_an_idle_thread_and_never_a_place_in_the_queue() -> None:
    disk = Disk()
    disk.jobs.ask_ahead("ahead", lambda: ToldJob(disk, "ahead", False))
    disk.ask("ahead", who="reader")
    disk.finish()
    assert disk.told == ["run ahead", "land ahead", "reader: woken"]
    busy = occupied()
    busy.jobs.ask_ahead("ahead", lambda: ToldJob(busy, "ahead", False))
    assert busy.jobs.depth == JOBS_AT_ONCE


def test_after_the_end_nobody_is_woken_and_what_was_queued_is_dropped() -> None:
    disk = occupied()
    disk.ask("queued")
    disk.jobs.close()
    assert disk.told == ["drop queued"]
    disk.finish()
    assert not [each for each in disk.told if each.endswith("woken")]


def test_a_loop_that_has_ended_is_no_error_in_a_thread() -> None:
    def ended(call: Callable[[], None]) -> None:
        raise RuntimeError("Event loop is closed")

    submitted: list[Callable[[], None]] = []
    jobs = DiskJobs(submitted.append, ended)
    jobs.ask("a", lambda: ToldJob(Disk(), "a", False), lambda _: None, begun=False)
    submitted.pop()()


@pytest.mark.parametrize("seed", range(20))
def test_every_job_taken_ends_landed_or_dropped_once_and_everyone_left_is_woken_once(
    seed: int,
) -> None:
    rng = random.Random(seed)
    disk = Disk()
    waiting: dict[str, Waiting] = {}
    for number in range(400):
        match rng.choice(("ask", "ask", "cancel", "step")):
            case "ask":
                taken = disk.ask(f"job {rng.randrange(60)}", who=f"client {number}", begun=True)
                assert taken is not None
                waiting[f"client {number}"] = taken
            case "cancel" if waiting:
                who = rng.choice(list(waiting))
                if f"{who}: woken" not in disk.told:
                    disk.jobs.cancel(waiting.pop(who))
            case "step" if disk.submitted:
                disk.step(rng.randrange(len(disk.submitted)))
        assert len(disk.submitted) <= JOBS_AT_ONCE
    disk.finish()
    assert disk.jobs.depth == 0
    woken = [each for each in disk.told if each.endswith("woken")]
    assert sorted(woken) == sorted(f"{who}: woken" for who in waiting)
    ends = [each for each in disk.told if each.startswith(("land ", "drop "))]
    assert len(ends) == disk.made
    assert len([each for each in disk.told if each.startswith("run ")]) <= disk.made
