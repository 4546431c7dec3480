"""Tells the control plane once a minute what players took of each title.

Placement smooths it over days, so a box that is cut off tells it all when it is back; what waits when the
program ends, a minute of it where nothing was cut, is not told.
"""

import asyncio
from collections.abc import Awaitable, Callable

import grpc.aio

from sluice.demand.v1 import demand_pb2, demand_pb2_grpc
from sluice_appliance.agent.tally import AgentTally
from sluice_appliance.agent.title_demand import DemandReport, TitleDemand
from sluice_appliance.serving.popularity import Hits
from sluice_runtime.logs import get_logger

log = get_logger(__name__)

INTERVAL_S = 60.0
_CALL_TIMEOUT_S = 10.0


class DemandUndelivered(Exception):
    """The control plane did not take the report."""


class DemandReporter:
    """Runs until cancelled. A report that fails is sent again, the same, after the interval."""

    def __init__(
        self,
        send: Callable[[DemandReport], Awaitable[None]],
        demand: TitleDemand,
        tally: AgentTally,
    ) -> None:
        self._send = send
        self._demand = demand
        self._tally = tally

    async def run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S)
            await self.report()

    async def report(self) -> None:
        """Tells what waits, if anything does."""
        report = self._demand.report()
        if report is None:
            return
        try:
            await self._send(report)
        except DemandUndelivered as error:
            self._tally.demand_report_failed()
            log.debug("demand_report_failed", reason=str(error), sequence=report.sequence)
            return
        self._demand.taken()
        self._tally.demand_reported()


class DemandService:
    """The control plane's service, as one appliance speaks to it."""

    def __init__(self, channel: grpc.aio.Channel, *, appliance: str, incarnation: str) -> None:
        self._stub = demand_pb2_grpc.DemandServiceStub(channel)
        self._appliance = appliance
        self._incarnation = incarnation

    async def report(self, report: DemandReport) -> None:
        """Raises DemandUndelivered."""
        request = demand_pb2.ReportDemandRequest(
            appliance=self._appliance,
            incarnation=self._incarnation,
            sequence=report.sequence,
            titles=[_on_the_wire(version, hits) for version, hits in report.titles.items()],
            rest_hits=report.rest.hits,
            rest_bytes=report.rest.sent_bytes,
        )
        try:
            await self._stub.ReportDemand(request, timeout=_CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise DemandUndelivered(f"{error.code().name}: {error.details()}") from None


def _on_the_wire(version: str, hits: Hits) -> demand_pb2.TitleDemand:
    title, _, version_id = version.partition("/")
    return demand_pb2.TitleDemand(
        title=f"titles/{title}", version=version_id, hits=hits.hits, sent_bytes=hits.sent_bytes
    )
