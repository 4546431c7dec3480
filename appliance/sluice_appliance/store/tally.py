"""What the audit counts."""

from sluice_appliance.store.checking import Verdict
from sluice_runtime.counters import SharedCounters, index_of


class AuditTally:
    """Adds up what the audit reads and finds."""

    def __init__(self, counters: SharedCounters) -> None:
        self._row = counters.row(0)
        self._specs = counters.specs

    def read(self, count: int) -> None:
        self._row[index_of(self._specs, "sluice_appliance_audit_bytes_total")] += count

    def found(self, verdict: Verdict) -> None:
        name = "sluice_appliance_audit_objects_total"
        self._row[index_of(self._specs, name, verdict=verdict.value)] += 1

    def suspect_dropped(self) -> None:
        self._row[index_of(self._specs, "sluice_appliance_suspects_dropped_total")] += 1

    def passed(self) -> None:
        self._row[index_of(self._specs, "sluice_appliance_audit_passes_total")] += 1
