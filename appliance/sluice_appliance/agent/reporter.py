"""The heartbeat: tells the control plane that the box lives, where it serves and how it is."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import grpc.aio

from sluice.fleet.v1 import fleet_pb2, fleet_pb2_grpc
from sluice_runtime.logs import get_logger

log = get_logger(__name__)

# Until the control plane says otherwise, and as far as it may.
INTERVAL_S = 2.0
_SHORTEST_S = 0.2
_LONGEST_S = 60.0
# A heartbeat that takes longer than the next one's time is of no use.
_CALL_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Vitals:
    """How the box is at one moment."""

    # Whether new clients should be sent here: not to a box that an operator drains.
    serving: bool
    stored_bytes: int
    # Share of all cores in use since the last heartbeat, 0..1.
    cpu_fraction: float
    sent_bytes_total: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What does not change while the program runs."""

    appliance: str
    incarnation: str
    ipv4: str
    ipv6: str
    port: int
    tls: bool
    software_version: str
    capacity_bytes: int


class HeartbeatUndelivered(Exception):
    """The control plane did not hear it."""


class HearsHeartbeats(Protocol):
    """The control plane, as far as a heartbeat needs it."""

    async def beat(self, sequence: int, vitals: Vitals) -> float | None:
        """Seconds to the next; None if it did not say. Raises HeartbeatUndelivered."""
        ...


class HeartbeatReporter:
    """Beats until cancelled. Losing the control plane, and finding it again, is said once."""

    def __init__(
        self,
        hearer: HearsHeartbeats,
        *,
        vitals: Callable[[], Vitals],
        on_found: Callable[[], None],
        on_sent: Callable[[], None],
        on_failed: Callable[[], None],
    ) -> None:
        self._hearer = hearer
        self._vitals = vitals
        self._on_found = on_found
        self._on_sent = on_sent
        self._on_failed = on_failed
        self.connected = False
        self._ever_asked = False

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        interval_s = INTERVAL_S
        sequence = 0
        while True:
            began_at = loop.time()
            sequence += 1
            try:
                said = await self._hearer.beat(sequence, self._vitals())
            except HeartbeatUndelivered as error:
                self._lost(str(error))
            else:
                self._found()
                interval_s = min(max(said or INTERVAL_S, _SHORTEST_S), _LONGEST_S)
            await asyncio.sleep(max(0.0, began_at + interval_s - loop.time()))

    def _found(self) -> None:
        self._on_sent()
        if not self.connected:
            log.info("control_plane_found")
            self._on_found()
        self.connected = self._ever_asked = True

    def _lost(self, reason: str) -> None:
        self._on_failed()
        if self.connected or not self._ever_asked:
            log.warning("control_plane_lost", reason=reason)
        self.connected = False
        self._ever_asked = True


class ApplianceService:
    """The control plane's service, as the heartbeat speaks to it."""

    def __init__(self, channel: grpc.aio.Channel, standing: Standing) -> None:
        self._stub = fleet_pb2_grpc.ApplianceServiceStub(channel)
        self._standing = standing

    async def beat(self, sequence: int, vitals: Vitals) -> float | None:
        """Seconds to the next; None if it did not say. Raises HeartbeatUndelivered."""
        request = _request(self._standing, sequence, vitals)
        try:
            answer = await self._stub.ReportHeartbeat(request, timeout=_CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise HeartbeatUndelivered(f"{error.code().name}: {error.details()}") from None
        if not answer.HasField("interval"):
            return None
        return answer.interval.seconds + answer.interval.nanos / 1e9


def _request(standing: Standing, sequence: int, vitals: Vitals) -> fleet_pb2.ReportHeartbeatRequest:
    return fleet_pb2.ReportHeartbeatRequest(
        appliance=standing.appliance,
        incarnation=standing.incarnation,
        sequence=sequence,
        serving_address=fleet_pb2.ServingAddress(
            ipv4=standing.ipv4, ipv6=standing.ipv6, port=standing.port, tls=standing.tls
        ),
        serving=vitals.serving,
        software_version=standing.software_version,
        capacity_bytes=standing.capacity_bytes,
        stored_bytes=vitals.stored_bytes,
        cpu_fraction=vitals.cpu_fraction,
        sent_bytes_total=vitals.sent_bytes_total,
    )
