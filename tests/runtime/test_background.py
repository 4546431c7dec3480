"""Threads for work that can wait stand back, and their process does not."""

import os
import threading

from sluice_runtime.background import BACKGROUND_NICE, background_threads


def standing() -> tuple[int, set[int]]:
    thread = threading.get_native_id()
    return os.getpriority(os.PRIO_PROCESS, thread), os.sched_getaffinity(thread)


def test_a_background_thread_weighs_less_and_the_thread_that_made_it_does_not() -> None:
    before = standing()
    with background_threads("test", 1) as threads:
        nice, cores = threads.submit(standing).result()
    assert nice == min(19, before[0] + BACKGROUND_NICE)
    assert cores == before[1]
    assert standing() == before


def test_it_keeps_off_the_cores_that_are_left_to_others_if_there_are_more() -> None:
    cores = sorted(os.sched_getaffinity(0))
    with background_threads("test", 1, cores_left=1) as threads:
        assert threads.submit(standing).result()[1] == set(cores[1:] or cores)
    with background_threads("test", 1, cores_left=len(cores)) as threads:
        assert threads.submit(standing).result()[1] == set(cores)
