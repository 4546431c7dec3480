"""Counters that worker processes share: one row for each, in memory passed on by descriptor.

A worker adds to its own row of a shared memory page (an `array` store, about 60 ns, no lock and no
system call); the supervisor sums the rows when it is asked. A worker that dies leaves its row, and the
worker that takes its place counts on. Nothing is imported here that would slow a worker's start.
"""

import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

_CELL_BYTES = 8


@dataclass(frozen=True, slots=True)
class CounterSpec:
    """A counter: its name ends in `_total`; the sentence tells an operator what to make of it."""

    name: str
    sentence: str
    labels: Mapping[str, str] | None = None

    @property
    def cells(self) -> int:
        return 1


@dataclass(frozen=True, slots=True)
class HistogramSpec:
    """A histogram: a cell for each of `bounds`, one for what is above them, and the sum.

    A worker observes `value`, in the cells' unit, with
    `row[first + bisect_left(bounds, value)] += 1; row[first + len(bounds) + 1] += value`.
    Shown are `value * unit`: 1e-6 shows cells of microseconds in seconds.
    """

    name: str
    sentence: str
    bounds: Sequence[int]
    unit: float
    labels: Mapping[str, str] | None = None

    @property
    def cells(self) -> int:
        return len(self.bounds) + 2


Spec = CounterSpec | HistogramSpec


@dataclass(frozen=True, slots=True)
class Observations:
    """What a histogram saw: how many were at or below each bound, how many in all, and their sum."""

    at_most: tuple[tuple[float, int], ...]
    count: int
    sum: float


class SharedCounters:
    """One row of counters for each worker, in memory that child processes inherit by descriptor."""

    def __init__(self, specs: Sequence[Spec], *, rows: int, descriptor: int = -1) -> None:
        self.specs = tuple(specs)
        self.rows = rows
        self._width = cells_of(self.specs)
        size = max(mmap.PAGESIZE, self._width * rows * _CELL_BYTES)
        if descriptor < 0:
            descriptor = os.memfd_create("sluice-counters", os.MFD_CLOEXEC)
            os.ftruncate(descriptor, size)
        self.descriptor = descriptor
        self._cells = memoryview(mmap.mmap(descriptor, size)).cast("Q")

    def row(self, worker: int) -> "memoryview[int]":
        """The cells of one worker, in order of the specs: `row[REQUESTS] += 1`."""
        start = worker * self._width
        return self._cells[start : start + self._width]

    def totals(self) -> dict[str, int]:
        """Each counter summed over the workers; labelled ones as `name{label="value"}`, histograms by
        how much they saw, as `name_count`."""
        return {
            _title(spec): self.total(cell)
            if isinstance(spec, CounterSpec)
            else self.observations(spec, cell).count
            for cell, spec in placed(self.specs)
        }

    def total(self, cell: int) -> int:
        """One cell summed over the workers."""
        return sum(self._cells[worker * self._width + cell] for worker in range(self.rows))

    def observations(self, spec: HistogramSpec, first: int) -> Observations:
        """The histogram whose cells begin at `first`, summed over the workers."""
        so_far, at_most = 0, []
        for place, bound in enumerate(spec.bounds):
            so_far += self.total(first + place)
            at_most.append((bound * spec.unit, so_far))
        above, total = first + len(spec.bounds), first + len(spec.bounds) + 1
        return Observations(
            tuple(at_most), so_far + self.total(above), self.total(total) * spec.unit
        )


def placed(specs: Sequence[Spec]) -> Iterator[tuple[int, Spec]]:
    """(the first cell, the spec) of each."""
    first = 0
    for spec in specs:
        yield first, spec
        first += spec.cells


def cells_of(specs: Sequence[Spec]) -> int:
    """How many cells a row has."""
    return sum(spec.cells for spec in specs)


def index_of(specs: Sequence[Spec], name: str, **labels: str) -> int:
    """The first cell of a counter in a row. Raises KeyError for one that was not declared."""
    for cell, spec in placed(specs):
        if spec.name == name and dict(spec.labels or {}) == labels:
            return cell
    raise KeyError(f"no counter {name} {labels}")


def _title(spec: Spec) -> str:
    name = spec.name if isinstance(spec, CounterSpec) else f"{spec.name}_count"
    pairs = ",".join(f'{key}="{value}"' for key, value in (spec.labels or {}).items())
    return f"{name}{{{pairs}}}" if pairs else name
