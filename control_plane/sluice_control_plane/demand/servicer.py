"""DemandService: translate, delegate, answer."""

from collections.abc import Callable
from typing import Any

from sluice.demand.v1 import demand_pb2, demand_pb2_grpc
from sluice_control_plane.demand.ledger import Counted, DemandLedger
from sluice_control_plane.demand.reports import report_of
from sluice_control_plane.errors import NotReady
from sluice_control_plane.identity.gate import caller
from sluice_control_plane.metrics import Metrics
from sluice_control_plane.reconciler import Reconciler
from sluice_control_plane.resource_names import id_in


class DemandServicer(demand_pb2_grpc.DemandServiceServicer):
    """A report touches no database: the keeper keeps what was heard."""

    def __init__(
        self,
        ledger: DemandLedger,
        reconciler: Reconciler,
        metrics: Metrics,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._reconciler = reconciler
        self._metrics = metrics
        self._clock = clock

    async def ReportDemand(
        self, request: demand_pb2.ReportDemandRequest, context: Any
    ) -> demand_pb2.ReportDemandResponse:
        appliance_id = id_in(request.appliance, "appliances", "appliance")
        caller(context).must_speak_for(appliance_id)
        report = report_of(request)
        truth = self._reconciler.truth
        appliance = truth.fleet.get(appliance_id)
        if appliance is None:
            raise NotReady(f"appliances/{appliance_id} is not placed yet; try later")
        counted = self._ledger.hear(
            appliance_id, appliance.site_id, report, known=truth.versions, now=self._clock()
        )
        self._count(counted)
        return demand_pb2.ReportDemandResponse()

    def _count(self, counted: Counted) -> None:
        self._metrics.demand_reports.labels("repeated" if counted.repeated else "counted").inc()
        for of, sent_bytes in (
            ("titles", counted.title_bytes),
            ("rest", counted.rest_bytes),
            ("unknown", counted.unknown_bytes),
        ):
            self._metrics.demand_bytes.labels(of).inc(sent_bytes)
        self._metrics.demand_versions_forgotten.inc(counted.versions_forgotten)
