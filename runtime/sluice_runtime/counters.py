"""Counters that worker processes share: one row for each, in memory passed on by descriptor.

A worker adds to its own row of a shared memory page (an `array` store, about 60 ns, no lock and no
system call); the supervisor sums the rows when it is asked. A worker that dies leaves its row, and the
worker that takes its place counts on. Nothing is imported here that would slow a worker's start.
"""

import mmap
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_CELL_BYTES = 8


@dataclass(frozen=True, slots=True)
class CounterSpec:
    """A counter: its name ends in `_total`; the sentence tells an operator what to make of it."""

    name: str
    sentence: str
    labels: Mapping[str, str] | None = None


class SharedCounters:
    """One row of counters for each worker, in memory that child processes inherit by descriptor."""

    def __init__(self, specs: Sequence[CounterSpec], *, rows: int, descriptor: int = -1) -> None:
        self.specs = tuple(specs)
        self.rows = rows
        size = max(mmap.PAGESIZE, len(self.specs) * rows * _CELL_BYTES)
        if descriptor < 0:
            descriptor = os.memfd_create("sluice-counters", os.MFD_CLOEXEC)
            os.ftruncate(descriptor, size)
        self.descriptor = descriptor
        self._cells = memoryview(mmap.mmap(descriptor, size)).cast("Q")

    def row(self, worker: int) -> "memoryview[int]":
        """The cells of one worker, in order of the specs: `row[REQUESTS] += 1`."""
        start = worker * len(self.specs)
        return self._cells[start : start + len(self.specs)]

    def totals(self) -> dict[str, int]:
        """Each counter summed over the workers; labelled ones as `name{label="value"}`."""
        return {_title(spec): self.total(index) for index, spec in enumerate(self.specs)}

    def total(self, index: int) -> int:
        """One counter summed over the workers."""
        width = len(self.specs)
        return sum(self._cells[worker * width + index] for worker in range(self.rows))


def index_of(specs: Sequence[CounterSpec], name: str, **labels: str) -> int:
    """Where a counter stands in a row. Raises KeyError for one that was not declared."""
    for index, spec in enumerate(specs):
        if spec.name == name and dict(spec.labels or {}) == labels:
            return index
    raise KeyError(f"no counter {name} {labels}")


def _title(spec: CounterSpec) -> str:
    pairs = ",".join(f'{key}="{value}"' for key, value in (spec.labels or {}).items())
    return f"{spec.name}{{{pairs}}}" if pairs else spec.name
