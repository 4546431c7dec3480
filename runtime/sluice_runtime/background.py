"""Work that can wait, beside processes that serve on the same machine.

A process that does it keeps off as many cores as are left to those who serve, where there are more: a thread that
copies a MiB in the kernel is not interrupted, and who serves would wait for it. On shared cores a nice value is
all: in SCHED_IDLE a thread that holds the interpreter's lock on a busy core would hold up the rest of its
process for a second, heartbeats included.
"""

import os
from concurrent.futures import ThreadPoolExecutor

# A tenth of the weight of what serves, where both want a core.
BACKGROUND_NICE = 10


def leave_cores(count: int) -> None:
    """From now on this thread, and those that it starts, run on others, if there are any."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[count:] or cores)


def background_threads(
    name: str, most: int | None = None, *, nice: int = BACKGROUND_NICE
) -> ThreadPoolExecutor:
    """At most so many; as many as Python finds right for files and sockets where nobody says."""
    # On Linux a nice value is a thread's own (setpriority(2)).
    return ThreadPoolExecutor(most, thread_name_prefix=name, initializer=os.nice, initargs=(nice,))
