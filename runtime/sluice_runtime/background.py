"""Threads for work that can wait, beside processes that serve on the same machine.

They keep off as many cores as are left to those who serve, where there are more: a thread that copies a MiB in
the kernel is not interrupted, and who serves would wait for it. On shared cores a nice value is all: in
SCHED_IDLE a thread that holds the interpreter's lock on a busy core would hold up the rest of its process
for a second, heartbeats included.
"""

import os
from concurrent.futures import ThreadPoolExecutor

# A tenth of the weight of what serves, where both want a core.
BACKGROUND_NICE = 10


def background_threads(
    name: str, most: int | None = None, *, cores_left: int = 0
) -> ThreadPoolExecutor:
    """At most so many; as many as Python finds right for files and sockets where nobody says."""
    return ThreadPoolExecutor(
        most, thread_name_prefix=name, initializer=_stand_back, initargs=(cores_left,)
    )


def _stand_back(cores_left: int) -> None:
    # Of this thread alone: on Linux each has a nice value and cores of its own (setpriority(2),
    # sched_setaffinity(2)).
    os.nice(BACKGROUND_NICE)
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[cores_left:] or cores)
