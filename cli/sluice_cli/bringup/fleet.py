"""Tells the control plane of the embedded fleet. Each step may be repeated: what is there stays."""

import uuid
from collections.abc import Awaitable

import grpc
import grpc.aio

from sluice.fleet.v1 import fleet_pb2, fleet_pb2_grpc
from sluice.routes.v1 import routes_pb2, routes_pb2_grpc
from sluice_cli.bringup.layout import FLEET, SitePlan
from sluice_cli.control_plane import RPC_TIMEOUT_S
from sluice_cli.fleet.calls import all_appliances

# Repeating `sluice up` asks for the same things again; the control plane knows the requests by id.
_NAMESPACE = uuid.UUID("7f1c3a52-5d0e-5b1a-9a8e-3f3f0c1d2e4b")


async def register_fleet(channel: grpc.aio.Channel) -> None:
    """Creates partners, sites, appliances and routes where they are missing."""
    fleet = fleet_pb2_grpc.FleetServiceStub(channel)
    routes = routes_pb2_grpc.RoutesServiceStub(channel)
    if {appliance.name for appliance in await all_appliances(channel)} >= {
        f"appliances/{box.appliance_id}" for site in FLEET for box in site.boxes
    }:
        return
    for site in FLEET:
        await _register_site(fleet, site)
        # Before the boxes: once all of them are there, routes are the partner's to change.
        await routes.ReplaceRoutes(
            routes_pb2.ReplaceRoutesRequest(
                site=f"sites/{site.site_id}", prefixes=list(site.prefixes)
            ),
            timeout=RPC_TIMEOUT_S,
        )
        await _register_boxes(fleet, site)


async def _register_site(fleet: "fleet_pb2_grpc.FleetServiceAsyncStub", site: SitePlan) -> None:
    partner = fleet_pb2.Partner(display_name=f"Partner of {site.display_name}")
    await _unless_there(
        fleet.CreatePartner(
            fleet_pb2.CreatePartnerRequest(
                partner_id=site.partner_id, partner=partner, request_id=_request(site.partner_id)
            ),
            timeout=RPC_TIMEOUT_S,
        )
    )
    place = fleet_pb2.Site(partner=f"partners/{site.partner_id}", display_name=site.display_name)
    await _unless_there(
        fleet.CreateSite(
            fleet_pb2.CreateSiteRequest(
                site_id=site.site_id, site=place, request_id=_request(site.site_id)
            ),
            timeout=RPC_TIMEOUT_S,
        )
    )


async def _register_boxes(fleet: "fleet_pb2_grpc.FleetServiceAsyncStub", site: SitePlan) -> None:
    for box in site.boxes:
        appliance = fleet_pb2.Appliance(site=f"sites/{site.site_id}")
        await _unless_there(
            fleet.CreateAppliance(
                fleet_pb2.CreateApplianceRequest(
                    appliance_id=box.appliance_id,
                    appliance=appliance,
                    request_id=_request(box.appliance_id),
                ),
                timeout=RPC_TIMEOUT_S,
            )
        )


async def enrolment_token(channel: grpc.aio.Channel, appliance_id: str) -> str:
    fleet = fleet_pb2_grpc.FleetServiceStub(channel)
    answer = await fleet.CreateEnrolmentToken(
        fleet_pb2.CreateEnrolmentTokenRequest(appliance=f"appliances/{appliance_id}"),
        timeout=RPC_TIMEOUT_S,
    )
    return answer.token


async def _unless_there(call: Awaitable[object]) -> None:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
            raise


def _request(name: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, name))
