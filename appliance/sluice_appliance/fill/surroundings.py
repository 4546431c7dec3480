"""What a fill must know of the machine: what its network cards carry, and how its players are served.

All that the cards take in counts for the link's bill, not what fill knows of: pulls of viewers, updates,
an operator's copy are billed too. Loopback is nobody's link. What they send to players is left out: links
are billed by the larger direction, and a box stands where its players' is not billed.
"""

from collections.abc import Sequence
from typing import Protocol

import psutil

from sluice_appliance.fill.pressure import Load
from sluice_runtime.counters import SharedCounters, index_of

_LOOPBACK = "lo"
# Looked at so often a second by a serving worker, which adds up what it sees.
_TICKS_PER_S = 4
# Reads that a worker gives the disks at a time.
_READS_AT_ONCE = 8
_SHED = ("disk_busy", "read_ahead_full")


def received_bytes() -> int:
    """By all network cards since they were made; a card that is taken away makes it less."""
    cards = psutil.net_io_counters(pernic=True)
    return sum(card.bytes_recv for name, card in cards.items() if name != _LOOPBACK)


class HasWorkers(Protocol):
    """The serving pool, as far as this needs it."""

    def worker_pids(self) -> Sequence[int]: ...


class ServingLoad:
    """What serving shows, from look to look: call it about once a second."""

    def __init__(self, pool: HasWorkers, counters: SharedCounters) -> None:
        self._pool = pool
        self._counters = counters
        self._workers: dict[int, psutil.Process] = {}
        specs = counters.specs
        self._shed_cells = [
            index_of(specs, "sluice_appliance_shed_total", reason=reason) for reason in _SHED
        ]
        self._late_cell = index_of(specs, "sluice_appliance_loop_late_microseconds_total")
        self._queue_cell = index_of(specs, "sluice_appliance_disk_queue_total")
        self._before = self._totals()

    def look(self) -> Load:
        shed, late_us, queued = self._totals()
        shed_before, late_us_before, queued_before = self._before
        self._before = shed, late_us, queued
        pids = self._pool.worker_pids()
        looks = _TICKS_PER_S * max(1, len(pids))
        return Load(
            disk_queue=(queued - queued_before) / looks / _READS_AT_ONCE,
            shed=shed - shed_before,
            loop_lag_s=(late_us - late_us_before) / 1e6 / looks,
            cpu=self._busiest(pids),
        )

    def _totals(self) -> tuple[int, int, int]:
        shed = sum(self._counters.total(cell) for cell in self._shed_cells)
        return shed, self._counters.total(self._late_cell), self._counters.total(self._queue_cell)

    def _busiest(self, pids: Sequence[int]) -> float:
        """Its share of a core since the last look."""
        self._workers = {pid: at for pid, at in self._workers.items() if pid in pids}
        busiest = 0.0
        for pid in pids:
            try:
                worker = self._workers.setdefault(pid, psutil.Process(pid))
                busiest = max(busiest, worker.cpu_percent() / 100)
            except psutil.Error:
                # It has just ended; its successor is seen at the next look.
                self._workers.pop(pid, None)
        return busiest
