"""What is measured: which sizes, schemes and connections, in which manner, and how long that takes."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

KIB = 1024
MIB = 1024 * KIB
SIZES = (4 * KIB, 64 * KIB, 256 * KIB, MIB, 2 * MIB, 4 * MIB)
SCHEMES = ("http", "https")
# What ranges are taken of: a rendition as players see it, one long file.
WHOLE_BYTES = 64 * MIB
# What is read once in a cold run, and in at most how many files.
COLD_BYTES = 2048 * MIB
COLD_FILES_MAX = 20_000
# Beside the run itself: the client's start and the clock ticks read before and after.
_BETWEEN_RUNS_S = 0.15
# All servers of a scheme, first requests included; of a cold run, the one.
_START_S = 8.0
_COLD_START_S = 3.0


class Cell(NamedTuple):
    scheme: str
    size_bytes: int
    connections: int

    @property
    def size(self) -> str:
        return label(self.size_bytes)


class Manner(NamedTuple):
    """How objects are asked for."""

    ranges: bool = False
    anew: bool = False
    cold: bool = False
    client: str = "auto"

    def __str__(self) -> str:
        words = ("ranges" if self.ranges else "whole objects", "cold" if self.cold else "hot")
        return ", ".join((*words, "new connections" if self.anew else "keep-alive"))

    def client_of(self, cell: Cell, *, reader_from_bytes: int) -> str:
        """Who asks: `wrk` reads 8 KiB a call, which bounds large objects in the clear by the client."""
        plain_again = cell.scheme == "http" and not self.anew and not self.cold
        large = cell.size_bytes >= reader_from_bytes
        return "reader" if self.client == "auto" and plain_again and large else "wrk"


def cells(
    schemes: Sequence[str], sizes: Sequence[int], connections: Sequence[int]
) -> Iterator[Cell]:
    """In the order in which they are measured; servers are started once for each scheme."""
    for each in itertools.product(schemes, sizes, connections):
        yield Cell(*each)


def expected_s(cells: Sequence[Cell], peers: int, rounds: int, seconds: int, manner: Manner) -> int:
    """How long all that takes, so that one knows before one waits."""
    runs = len(cells) * peers * rounds
    if manner.cold:
        return round(runs * (seconds + _COLD_START_S))
    return round(runs * (seconds + _BETWEEN_RUNS_S) + len({c.scheme for c in cells}) * _START_S)


def turns(peers: Sequence[str], number: int) -> Sequence[str]:
    """Who runs when in round `number`: each is first once in as many rounds as there are peers."""
    first = number % len(peers)
    return (*peers[first:], *peers[:first])


def cold_files(size_bytes: int, connections: int, total_bytes: int = COLD_BYTES) -> int:
    """Some for each connection: a run ends when all were asked for, not when all have come."""
    return max(4 * connections, min(COLD_FILES_MAX, total_bytes // size_bytes))


def label(size_bytes: int) -> str:
    """4096 is `4 KiB`."""
    if size_bytes >= MIB and size_bytes % MIB == 0:
        return f"{size_bytes // MIB} MiB"
    return f"{size_bytes // KIB} KiB"


def parse_size(text: str) -> int:
    """`4K` or `4 KiB`, `2M` or `2 MiB`. Raises ValueError."""
    number, unit = text.strip().rstrip("iB")[:-1].strip(), text.strip().rstrip("iB")[-1:]
    if unit not in ("K", "M") or not number.isdecimal() or int(number) == 0:
        raise ValueError(f"{text!r}, expected a size like 64K or 2M")
    return int(number) * (KIB if unit == "K" else MIB)
