"""What a server's processes have used, from the first one down: CPU, memory, bytes from the disk."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# A process may end between being found and being read.
_GONE = (FileNotFoundError, ProcessLookupError)


class CpuTime(NamedTuple):
    user_s: float
    system_s: float

    def since(self, earlier: "CpuTime") -> "CpuTime":
        return CpuTime(self.user_s - earlier.user_s, self.system_s - earlier.system_s)

    @property
    def total_s(self) -> float:
        return self.user_s + self.system_s


def processes(pid: int) -> Iterator[int]:
    """`pid` and all that it and its children have started, children of any thread among them."""
    yield pid
    with suppress(*_GONE):
        for thread in list(Path(f"/proc/{pid}/task").iterdir()):
            for child in (thread / "children").read_text().split():
                yield from processes(int(child))


def cpu(pid: int) -> CpuTime:
    """Time on a core so far, all threads; of processes that have ended, nothing."""
    user = system = 0
    for each in processes(pid):
        with suppress(*_GONE):
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            user, system = user + int(fields[11]), system + int(fields[12])
    return CpuTime(user / _TICKS_PER_S, system / _TICKS_PER_S)


def disk_bytes(pid: int) -> int:
    """What they made the kernel read from a disk so far."""
    return sum(_field(Path(f"/proc/{each}/io"), "read_bytes:") for each in processes(pid))


def memory_bytes(pid: int) -> int:
    """Proportional set size: a page that n processes share counts 1/n for each. Not the kernel's."""
    return sum(_field(Path(f"/proc/{each}/smaps_rollup"), "Pss:") * 1024 for each in processes(pid))


def signal_all(pid: int, number: signal.Signals) -> None:
    for each in list(processes(pid)):
        with suppress(*_GONE):
            os.kill(each, number)


def _field(path: Path, name: str) -> int:
    with suppress(*_GONE):
        for line in path.read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1])
    return 0
