"""ApplianceService: translate, delegate, answer."""

from collections.abc import Callable
from typing import Any

from sluice.fleet.v1 import fleet_pb2, fleet_pb2_grpc
from sluice_control_plane.fleet.appliances import address_of, heartbeat_of
from sluice_control_plane.fleet.monitor import FleetMonitor
from sluice_control_plane.identity.gate import caller
from sluice_control_plane.metrics import Metrics
from sluice_control_plane.resource_names import id_in


class ApplianceServicer(fleet_pb2_grpc.ApplianceServiceServicer):
    """A heartbeat touches no database: what changed by it is kept by the next round."""

    def __init__(
        self, monitor: FleetMonitor, metrics: Metrics, *, clock: Callable[[], float]
    ) -> None:
        self._monitor = monitor
        self._metrics = metrics
        self._clock = clock

    async def ReportHeartbeat(
        self, request: fleet_pb2.ReportHeartbeatRequest, context: Any
    ) -> fleet_pb2.ReportHeartbeatResponse:
        appliance_id = id_in(request.appliance, "appliances", "appliance")
        caller(context).must_speak_for(appliance_id)
        belief = self._monitor.hear(
            appliance_id,
            heartbeat_of(request),
            address_of(request.serving_address),
            request.software_version,
            wall_now=self._clock(),
        )
        self._metrics.heartbeats.inc()
        response = fleet_pb2.ReportHeartbeatResponse(drained=belief.drained)
        response.interval.FromMicroseconds(int(self._monitor.policy.interval_s * 1e6))
        return response
