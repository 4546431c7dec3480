"""The threads that wait for a disk: no more than were asked for, and none that keeps a process from ending."""

import subprocess
import sys
import threading
from queue import SimpleQueue

from sluice_appliance.serving.reader_threads import ReaderThreads

MOST = 3
DEADLINE_S = 20.0

HELD_BY_A_DEAD_DISK = """
import threading
from sluice_appliance.serving.reader_threads import ReaderThreads
threads, reached = ReaderThreads(1), threading.Event()
def wait_for_ever():
    reached.set()
    threading.Event().wait()
threads.submit(wait_for_ever)
reached.wait()
threads.close()
"""


def test_all_jobs_are_done_by_as_many_threads_as_there_may_be() -> None:
    threads, together = ReaderThreads(MOST), threading.Barrier(MOST)
    who: SimpleQueue[threading.Thread] = SimpleQueue()

    def job() -> None:
        together.wait(DEADLINE_S)
        who.put(threading.current_thread())

    for _ in range(4 * MOST):
        threads.submit(job)
    did = {who.get(timeout=DEADLINE_S) for _ in range(4 * MOST)}
    assert len(did) == MOST
    threads.close()
    for thread in did:
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


def test_what_waits_when_they_are_closed_is_not_begun() -> None:
    threads, reached, may_end = ReaderThreads(1), threading.Event(), threading.Event()
    begun: list[threading.Thread] = []

    def first() -> None:
        begun.append(threading.current_thread())
        reached.set()
        may_end.wait(DEADLINE_S)

    threads.submit(first)
    threads.submit(lambda: begun.append(threading.current_thread()))
    assert reached.wait(DEADLINE_S)
    threads.close()
    may_end.set()
    begun[0].join(DEADLINE_S)
    assert len(begun) == 1


def test_a_thread_that_a_dead_disk_holds_does_not_keep_its_process_from_ending() -> None:
    program = [sys.executable, "-c", HELD_BY_A_DEAD_DISK]
    assert subprocess.run(program, timeout=DEADLINE_S, check=False).returncode == 0
