"""Threads for work that can wait, beside processes that serve on the same cores."""

import os
from concurrent.futures import ThreadPoolExecutor

# A tenth of the weight of what serves, where both want a core.
BACKGROUND_NICE = 10


def background_threads(name: str, most: int | None = None) -> ThreadPoolExecutor:
    """At most so many; as many as Python finds right for files and sockets where nobody says."""
    return ThreadPoolExecutor(most, thread_name_prefix=name, initializer=_stand_back)


def _stand_back() -> None:
    # Of this thread alone: on Linux each has a nice value of its own (setpriority(2)).
    os.nice(BACKGROUND_NICE)
