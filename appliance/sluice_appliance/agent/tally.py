"""What the agent counts."""

from sluice_appliance.agent.key_set import Refusal
from sluice_runtime.counters import SharedCounters, index_of


class AgentTally:
    """Adds up heartbeats, enrolments, reports of demand and key sets."""

    def __init__(self, counters: SharedCounters) -> None:
        self._row = counters.row(0)
        self._specs = counters.specs

    def heartbeat_sent(self) -> None:
        self._row[index_of(self._specs, "sluice_appliance_heartbeats_total")] += 1

    def heartbeat_failed(self) -> None:
        self._row[index_of(self._specs, "sluice_appliance_heartbeats_failed_total")] += 1

    def enrolment_failed(self) -> None:
        self._row[index_of(self._specs, "sluice_appliance_enrolments_failed_total")] += 1

    def demand_reported(self) -> None:
        self._row[index_of(self._specs, "sluice_appliance_demand_reports_total")] += 1

    def demand_report_failed(self) -> None:
        self._row[index_of(self._specs, "sluice_appliance_demand_reports_failed_total")] += 1

    def token_keys_taken(self) -> None:
        self._row[index_of(self._specs, "sluice_appliance_token_key_sets_total")] += 1

    def token_keys_refused(self, refusal: Refusal) -> None:
        name = "sluice_appliance_token_key_sets_refused_total"
        self._row[index_of(self._specs, name, reason=refusal.value)] += 1

    def token_keys_unkept(self) -> None:
        self._row[index_of(self._specs, "sluice_appliance_token_key_sets_unkept_total")] += 1
