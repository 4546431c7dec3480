"""Real processes for tests: polling with a deadline instead of sleeping and hoping."""

import os
import time
from collections.abc import Callable
from pathlib import Path

DEADLINE_S = 20.0


def eventually(true: Callable[[], bool], what: str) -> None:
    """Returns as soon as `true()`; fails after DEADLINE_S."""
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline, f"not within {DEADLINE_S} s: {what}"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs: one that ended and was not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def pid_in(path: Path) -> int:
    """The process id that a child wrote into a file, once it is there."""
    eventually(lambda: path.exists() and path.read_text().endswith("\n"), f"{path.name} is written")
    return int(path.read_text())


def end(pid: int) -> None:
    if alive(pid):
        os.kill(pid, 9)
