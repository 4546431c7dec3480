"""What the fill counts: for Prometheus since the start, for the control plane since the last report."""

from collections import Counter
from collections.abc import Mapping

from sluice_appliance.fill.manifest import Refusal
from sluice_appliance.fill.sources import FaultKind, Source, SourceKind
from sluice_runtime.counters import SharedCounters, index_of

# Pairs of source and fault between two reports; what exceeds it is reported under OTHER.
FAULT_PAIRS_MAX = 64
OTHER = "other"


class FillTally:
    """Adds up what happens. Counters are labelled by kinds, never by names of sources."""

    def __init__(self, counters: SharedCounters) -> None:
        self._counters = counters
        self._row = counters.row(0)
        self._faults: Counter[tuple[str, FaultKind]] = Counter()

    def object_fetched(self, kind: SourceKind) -> None:
        self._add("sluice_appliance_fill_objects_total", source=kind.value)

    def bytes_fetched(self, kind: SourceKind, count: int) -> None:
        self._add("sluice_appliance_fill_bytes_total", count, source=kind.value)

    def source_failed(self, source: Source, fault: FaultKind) -> None:
        self._add(
            "sluice_appliance_fill_source_faults_total",
            kind=fault.value,
            source=source.kind.value,
        )
        self._note(source.source_id, fault, 1)

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
        self._row[index_of(self._counters.specs, name, **labels)] += count
