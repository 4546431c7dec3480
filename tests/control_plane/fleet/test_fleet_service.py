"""Partners, sites and appliances over the wire: AIP's promises, and whose is whose."""

import asyncio
import uuid
from pathlib import Path
from typing import Any

import grpc
import pytest
from control_plane.rig import Box, bare, control_plane, refused

from sluice.fleet.v1 import fleet_pb2, fleet_pb2_grpc
from sluice.routes.v1 import routes_pb2, routes_pb2_grpc
from sluice_control_plane.identity.roles import Role

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def test_the_same_request_twice_makes_one_and_another_with_its_id_is_refused(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            stub = fleet_pb2_grpc.FleetServiceStub(rig.channel(Role.OPERATOR))
            request = fleet_pb2.CreatePartnerRequest(partner_id="p", request_id=str(uuid.uuid4()))
            once = await stub.CreatePartner(request)
            assert await stub.CreatePartner(request) == once
            request.partner_id = "q"
            async with refused(INVALID, "REQUEST_ID_REUSED"):
                await stub.CreatePartner(request)
            request.request_id = ""
            request.partner_id = "p"
            async with refused(grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS"):
                await stub.CreatePartner(request)

    asyncio.run(story())


def test_pages_hold_every_partner_once_in_order_of_name(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            stub = fleet_pb2_grpc.FleetServiceStub(rig.channel(Role.OPERATOR))
            wanted = [f"p-{number}" for number in range(7)]
            for partner_id in reversed(wanted):
                await stub.CreatePartner(fleet_pb2.CreatePartnerRequest(partner_id=partner_id))
            seen, token = [], ""
            for _ in range(4):
                page = await stub.ListPartners(
                    fleet_pb2.ListPartnersRequest(page_size=2, page_token=token)
                )
                seen += [partner.name for partner in page.partners]
                token = page.next_page_token
            assert (seen, token) == ([f"partners/{each}" for each in wanted], "")
            page = await stub.ListPartners(fleet_pb2.ListPartnersRequest(page_size=2))
            async with refused(INVALID, "INVALID_REQUEST"):
                await stub.ListSites(fleet_pb2.ListSitesRequest(page_token=page.next_page_token))

    asyncio.run(story())


def test_a_drain_decided_on_an_older_reading_is_aborted(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            await rig.found_fleet()
            stub = fleet_pb2_grpc.FleetServiceStub(rig.channel(Role.OPERATOR))
            etag = (await rig.appliance("a-1")).etag
            request = fleet_pb2.DrainApplianceRequest(name="appliances/a-1", etag=etag)
            assert (await stub.DrainAppliance(request)).appliance.etag != etag
            async with refused(grpc.StatusCode.ABORTED, "ETAG_MISMATCH"):
                await stub.DrainAppliance(request)
            request.etag = ""
            again = await stub.DrainAppliance(request)
            assert again == await stub.DrainAppliance(request)

    asyncio.run(story())


def test_a_partner_sees_and_touches_only_what_stands_in_its_own_sites(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            await rig.found_fleet()
            channel = rig.channel(Role.PARTNER, "partner-a")
            fleet = fleet_pb2_grpc.FleetServiceStub(channel)
            routes = routes_pb2_grpc.RoutesServiceStub(channel)
            boxes = (await fleet.ListAppliances(fleet_pb2.ListAppliancesRequest())).appliances
            assert [box.name for box in boxes] == ["appliances/a-1", "appliances/a-2"]
            sites = (await fleet.ListSites(fleet_pb2.ListSitesRequest())).sites
            assert [site.name for site in sites] == ["sites/site-a"]
            partners = (await fleet.ListPartners(fleet_pb2.ListPartnersRequest())).partners
            assert [partner.name for partner in partners] == ["partners/partner-a"]
            seen = (await routes.ListRoutes(routes_pb2.ListRoutesRequest())).routes
            assert [route.prefix for route in seen] == ["10.1.0.0/16"]
            other = "appliances/b-1"
            denied = grpc.StatusCode.PERMISSION_DENIED
            async with refused(denied, "NOT_ALLOWED"):
                await fleet.GetAppliance(fleet_pb2.GetApplianceRequest(name=other))
            async with refused(denied, "NOT_ALLOWED"):
                await fleet.DrainAppliance(fleet_pb2.DrainApplianceRequest(name=other))
            async with refused(denied, "NOT_ALLOWED"):
                await fleet.UndrainAppliance(fleet_pb2.UndrainApplianceRequest(name=other))
            async with refused(denied, "NOT_ALLOWED"):
                await routes.ReplaceRoutes(
                    routes_pb2.ReplaceRoutesRequest(site="sites/site-b", prefixes=["10.2.0.0/16"])
                )
            assert not (await rig.appliance("b-1")).drained

    asyncio.run(story())


@pytest.mark.parametrize(
    "changes",
    [
        {"incarnation": "x" * 65},
        {"software_version": "x" * 65},
        {"cpu_fraction": float("nan")},
        {"stored_bytes": -1},
        {"serving_address": fleet_pb2.ServingAddress(ipv4="10.1.2")},
        {"serving_address": fleet_pb2.ServingAddress(ipv6="10.1.2.3")},
        {"serving_address": fleet_pb2.ServingAddress(ipv6="fe80::1%eth0")},
        {"serving_address": fleet_pb2.ServingAddress(port=65536)},
    ],
    ids=str,
)
def test_a_malformed_heartbeat_is_refused_and_changes_nothing(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            boxes = await rig.found_fleet()
            async with refused(INVALID, "INVALID_REQUEST"):
                await boxes["a-1"].beat(**changes)
            seen = await rig.appliance("a-1")
            assert seen.health == fleet_pb2.APPLIANCE_HEALTH_NEVER_SEEN
            assert not seen.HasField("last_heartbeat_time")

    asyncio.run(story())


def test_bytes_that_are_no_message_are_an_invalid_argument(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            boxes = await rig.found_fleet()
            path = "/sluice.fleet.v1.ApplianceService/ReportHeartbeat"
            async with refused(INVALID, "INVALID_REQUEST"):
                await bare(boxes["a-1"].channel).unary_unary(path)(b"\xff\xff\xff\xff")
            watch = bare(boxes["a-1"].channel).unary_stream(
                "/sluice.fill.v1.FillService/WatchManifest"
            )
            async with refused(INVALID, "INVALID_REQUEST"):
                await watch(b"\xff\xff\xff\xff").read()
            await boxes["a-1"].beat()

    asyncio.run(story())


def test_an_appliance_that_nobody_created_is_not_heard(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            box = Box("ghost", rig.channel(Role.APPLIANCE, "ghost"), "127.0.0.1")
            async with refused(grpc.StatusCode.NOT_FOUND, "NOT_FOUND"):
                await box.beat()

    asyncio.run(story())
