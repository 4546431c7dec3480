"""What the fill counts: for Prometheus since the start, for the control plane since the last report."""

from collections import Counter
from collections.abc import Mapping

from sluice_appliance.fill.manifest import Refusal
from sluice_appliance.fill.pressure import Signal
from sluice_appliance.fill.sources import FaultKind, Source, SourceKind
from sluice_appliance.store.disks import Tier
from sluice_runtime.counters import SharedCounters, index_of

# Pairs of source and fault between two reports; what exceeds it is reported under OTHER.
FAULT_PAIRS_MAX = 64
OTHER = "other"


class FillTally:
    """Adds up what happens. Counters are labelled by kinds, never by names of sources."""

    def __init__(self, counters: SharedCounters) -> None:
        self._counters = counters
        self._row = counters.row(0)
        # Found once: chunks are counted as they come.
        self._cells: dict[tuple[str, ...], int] = {}
        self._faults: Counter[tuple[str, FaultKind]] = Counter()
        # Bytes fetched since the start.
        self.filled_bytes = 0

    def object_fetched(self, kind: SourceKind) -> None:
        self._add("sluice_appliance_fill_objects_total", source=kind.value)

    def bytes_fetched(self, kind: SourceKind, count: int) -> None:
        self.filled_bytes += count
        self._add("sluice_appliance_fill_bytes_total", count, source=kind.value)

    def source_failed(self, source: Source, fault: FaultKind) -> None:
        self._add(
            "sluice_appliance_fill_source_faults_total",
            kind=fault.value,
            source=source.kind.value,
        )
        self._note(source.source_id, fault, 1)

    def source_left(self) -> None:
        self._add("sluice_appliance_fill_sources_left_total")

    def object_moved(self, target: Tier) -> None:
        self._add("sluice_appliance_fill_moves_total", to=target.value)

    def paused(self, signal: Signal) -> None:
        self._add("sluice_appliance_fill_pauses_total", signal=signal.value)

    def over_bill(self, size_bytes: int) -> None:
        self._add("sluice_appliance_fill_over_bill_bytes_total", size_bytes)

    def accounts_lost(self) -> None:
        self._add("sluice_appliance_fill_accounts_lost_total")

    def connection_opened(self) -> None:
        self._add("sluice_appliance_fill_connections_total")

    def looked_over(self) -> None:
        self._add("sluice_appliance_fill_looks_total")

    def object_restarted(self) -> None:
        self._add("sluice_appliance_fill_restarts_total")

    def object_unfetched(self) -> None:
        self._add("sluice_appliance_fill_objects_unfetched_total")

    def object_evicted(self) -> None:
        self._add("sluice_appliance_fill_evictions_total")

    def disk_failed(self) -> None:
        self._add("sluice_appliance_fill_disk_errors_total")

    def manifest_taken(self) -> None:
        self._add("sluice_appliance_fill_manifests_total")

    def manifest_refused(self, refusal: Refusal) -> None:
        self._add("sluice_appliance_fill_manifests_refused_total", reason=refusal.value)

    def report_failed(self) -> None:
        self._add("sluice_appliance_fill_reports_failed_total")

    def take_faults(self) -> Mapping[tuple[str, FaultKind], int]:
        """The faults since they were last taken."""
        taken, self._faults = self._faults, Counter()
        return taken

    def put_back(self, faults: Mapping[tuple[str, FaultKind], int]) -> None:
        """The report was not delivered: its faults belong to the next."""
        for (source_id, fault), count in faults.items():
            self._note(source_id, fault, count)

    def _note(self, source_id: str, fault: FaultKind, count: int) -> None:
        pair = (source_id, fault)
        if pair not in self._faults and len(self._faults) >= FAULT_PAIRS_MAX:
            pair = (OTHER, fault)
        self._faults[pair] += count

    def _add(self, name: str, count: int = 1, **labels: str) -> None:
        cell = self._cells.get((name, *labels.values()))
        if cell is None:
            cell = index_of(self._counters.specs, name, **labels)
            self._cells[name, *labels.values()] = cell
        self._row[cell] += count
