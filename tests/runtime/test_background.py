"""Work that can wait stands back, and the process that does it does not."""

import os
import threading

from sluice_runtime.background import BACKGROUND_NICE, background_threads, leave_cores


def standing() -> tuple[int, set[int]]:
    thread = threading.get_native_id()
    return os.getpriority(os.PRIO_PROCESS, thread), os.sched_getaffinity(thread)


def test_a_background_thread_weighs_less_and_the_thread_that_made_it_does_not() -> None:
    before = standing()
    with background_threads("test", 1) as threads:
        nice, _ = threads.submit(standing).result()
    assert nice == min(19, before[0] + BACKGROUND_NICE)
    assert standing() == before


def test_cores_are_left_to_others_if_there_are_more() -> None:
    cores = sorted(os.sched_getaffinity(0))
    found: list[set[int]] = []

    def stand_back(count: int) -> None:
        leave_cores(count)
        with background_threads("test", 1) as threads:
            found.append(threads.submit(standing).result()[1])

    for count in (0, 1, len(cores)):
        standing_back = threading.Thread(target=stand_back, args=(count,))
        standing_back.start()
        standing_back.join()
    assert found == [set(cores), set(cores[1:] or cores), set(cores)]
