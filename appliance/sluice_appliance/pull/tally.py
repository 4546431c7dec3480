"""What pulls count."""

from sluice_appliance.pull.messages import Where, Why
from sluice_runtime.counters import SharedCounters, index_of


class PullTally:
    """Adds up what becomes of misses."""

    def __init__(self, counters: SharedCounters) -> None:
        self._counters = counters
        self._row = counters.row(0)
        self._cells: dict[tuple[str, ...], int] = {}

    def piece_begun(self) -> None:
        self._add("sluice_appliance_pull_requests_total")

    def bytes_came(self, size_bytes: int) -> None:
        self._add("sluice_appliance_pull_bytes_total", size_bytes)

    def block_asked(self, found: str) -> None:
        """`found`: memory, flash, under_way or nowhere."""
        self._add("sluice_appliance_pull_blocks_asked_total", found=found)

    def block_came(self, where: Where) -> None:
        self._add("sluice_appliance_pull_blocks_total", 1, **{"from": where.value})

    def failed(self, why: Why) -> None:
        self._add("sluice_appliance_pulls_failed_total", reason=why.value)

    def negative_hit(self) -> None:
        self._add("sluice_appliance_pull_negative_hits_total")

    def refused(self, bound: str) -> None:
        self._add("sluice_appliance_pulls_refused_total", bound=bound)

    def abandoned(self) -> None:
        self._add("sluice_appliance_pulls_abandoned_total")

    def flash_written(self, size_bytes: int) -> None:
        self._add("sluice_appliance_pull_flash_bytes_total", size_bytes)

    def flash_failed(self) -> None:
        self._add("sluice_appliance_pull_flash_errors_total")

    def _add(self, name: str, count: int = 1, **labels: str) -> None:
        place = (name, *labels.values())
        cell = self._cells.get(place)
        if cell is None:
            cell = self._cells[place] = index_of(self._counters.specs, name, **labels)
        self._row[cell] += count
