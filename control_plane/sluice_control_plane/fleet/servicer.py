"""FleetService: translate, delegate, answer."""

from collections.abc import Callable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from sluice.fleet.v1 import fleet_pb2, fleet_pb2_grpc
from sluice_control_plane.database import Database
from sluice_control_plane.errors import AlreadyExists, NotFound
from sluice_control_plane.fill.policy import check_flash, check_policy
from sluice_control_plane.fill.returns import FillReturns
from sluice_control_plane.fill.storage import SitePolicy, keep_policy, read_policy
from sluice_control_plane.fleet import storage
from sluice_control_plane.fleet.appliances import (
    HEALTH_ON_THE_WIRE,
    Appliance,
    check_etag,
    weight_of,
)
from sluice_control_plane.fleet.disks import on_the_wire
from sluice_control_plane.fleet.monitor import FleetMonitor
from sluice_control_plane.identity.gate import caller
from sluice_control_plane.identity.tokens import EnrolmentToken, digest_of, time_to_live_s
from sluice_control_plane.paging import page_of
from sluice_control_plane.requests import remember, seen_before
from sluice_control_plane.resource_names import check_display_name, check_id, id_in


class FleetServicer(fleet_pb2_grpc.FleetServiceServicer):
    """`on_change` hears that the fleet changed; `new_secret` makes tokens."""

    def __init__(
        self,
        database: Database,
        monitor: FleetMonitor,
        returns: FillReturns,
        *,
        clock: Callable[[], float],
        new_secret: Callable[[], str],
        on_change: Callable[[], None],
    ) -> None:
        self._database = database
        self._monitor = monitor
        self._returns = returns
        self._clock = clock
        self._new_secret = new_secret
        self._on_change = on_change

    async def CreatePartner(
        self, request: fleet_pb2.CreatePartnerRequest, context: Any
    ) -> fleet_pb2.CreatePartnerResponse:
        partner_id = check_id(request.partner_id, "partner_id")
        display_name = check_display_name(request.partner.display_name) or partner_id
        name, now = f"partners/{partner_id}", self._clock()
        async with self._database.write() as connection:
            if not await seen_before(connection, request, request.request_id):
                await _must_be_new(storage.read_partner(connection, partner_id), name)
                await storage.add_partner(connection, partner_id, display_name, now=now)
                await remember(connection, request, request.request_id, resource_name=name, now=now)
            partner = await storage.read_partner(connection, partner_id)
        return fleet_pb2.CreatePartnerResponse(partner=partner)

    async def ListPartners(
        self, request: fleet_pb2.ListPartnersRequest, context: Any
    ) -> fleet_pb2.ListPartnersResponse:
        page = page_of("partners", request.page_size, request.page_token)
        async with self._database.read() as connection:
            rows = await storage.read_partners(
                connection, page, only=caller(context).only_partner()
            )
        partners, more = page.cut(rows)
        token = page.next_token(partners[-1].name.removeprefix("partners/")) if more else ""
        return fleet_pb2.ListPartnersResponse(partners=partners, next_page_token=token)

    async def CreateSite(
        self, request: fleet_pb2.CreateSiteRequest, context: Any
    ) -> fleet_pb2.CreateSiteResponse:
        site_id = check_id(request.site_id, "site_id")
        partner_id = id_in(request.site.partner, "partners", "site.partner")
        display_name = check_display_name(request.site.display_name) or site_id
        name, now = f"sites/{site_id}", self._clock()
        async with self._database.write() as connection:
            if not await seen_before(connection, request, request.request_id):
                await storage.read_partner(connection, partner_id)
                await _must_be_new(storage.read_site(connection, site_id), name)
                await storage.add_site(connection, site_id, partner_id, display_name, now=now)
                await remember(connection, request, request.request_id, resource_name=name, now=now)
            site = await storage.read_site(connection, site_id)
        self._on_change()
        return fleet_pb2.CreateSiteResponse(site=site)

    async def ListSites(
        self, request: fleet_pb2.ListSitesRequest, context: Any
    ) -> fleet_pb2.ListSitesResponse:
        page = page_of("sites", request.page_size, request.page_token)
        async with self._database.read() as connection:
            rows = await storage.read_sites(connection, page, only=caller(context).only_partner())
        sites, more = page.cut(rows)
        token = page.next_token(sites[-1].name.removeprefix("sites/")) if more else ""
        return fleet_pb2.ListSitesResponse(sites=sites, next_page_token=token)

    async def CreateAppliance(
        self, request: fleet_pb2.CreateApplianceRequest, context: Any
    ) -> fleet_pb2.CreateApplianceResponse:
        appliance_id = check_id(request.appliance_id, "appliance_id")
        site_id = id_in(request.appliance.site, "sites", "appliance.site")
        weight = weight_of(request.appliance.weight)
        name, now = f"appliances/{appliance_id}", self._clock()
        async with self._database.write() as connection:
            if not await seen_before(connection, request, request.request_id):
                await storage.read_site(connection, site_id)
                await _must_be_new(storage.read_appliance(connection, appliance_id), name)
                await storage.check_room(connection)
                await storage.add_appliance(connection, appliance_id, site_id, weight, now=now)
                await remember(connection, request, request.request_id, resource_name=name, now=now)
            appliance = await storage.read_appliance(connection, appliance_id)
        self._monitor.expect(appliance_id)
        self._on_change()
        return fleet_pb2.CreateApplianceResponse(appliance=self._shown(appliance))

    async def GetAppliance(
        self, request: fleet_pb2.GetApplianceRequest, context: Any
    ) -> fleet_pb2.GetApplianceResponse:
        appliance_id = id_in(request.name, "appliances", "name")
        async with self._database.read() as connection:
            appliance = await storage.read_appliance(connection, appliance_id)
        caller(context).must_own(appliance.partner_id, request.name)
        return fleet_pb2.GetApplianceResponse(appliance=self._shown(appliance))

    async def ListAppliances(
        self, request: fleet_pb2.ListAppliancesRequest, context: Any
    ) -> fleet_pb2.ListAppliancesResponse:
        site_id = id_in(request.site, "sites", "site") if request.site else None
        page = page_of(f"appliances {request.site}", request.page_size, request.page_token)
        async with self._database.read() as connection:
            rows = await storage.read_appliances(
                connection, page, only=caller(context).only_partner(), site_id=site_id
            )
        found, more = page.cut(rows)
        return fleet_pb2.ListAppliancesResponse(
            appliances=[self._shown(appliance) for appliance in found],
            next_page_token=page.next_token(found[-1].appliance_id) if more else "",
        )

    async def DrainAppliance(
        self, request: fleet_pb2.DrainApplianceRequest, context: Any
    ) -> fleet_pb2.DrainApplianceResponse:
        appliance = await self._set_drained(request.name, request.etag, context, drained=True)
        return fleet_pb2.DrainApplianceResponse(appliance=self._shown(appliance))

    async def UndrainAppliance(
        self, request: fleet_pb2.UndrainApplianceRequest, context: Any
    ) -> fleet_pb2.UndrainApplianceResponse:
        appliance = await self._set_drained(request.name, request.etag, context, drained=False)
        return fleet_pb2.UndrainApplianceResponse(appliance=self._shown(appliance))

    async def CreateEnrolmentToken(
        self, request: fleet_pb2.CreateEnrolmentTokenRequest, context: Any
    ) -> fleet_pb2.CreateEnrolmentTokenResponse:
        appliance_id = id_in(request.appliance, "appliances", "appliance")
        asked = request.time_to_live
        expire_time = self._clock() + time_to_live_s(asked.seconds + asked.nanos / 1e9)
        secret = self._new_secret()
        token = EnrolmentToken(appliance_id, expire_time, used_by="")
        async with self._database.write() as connection:
            await storage.read_appliance(connection, appliance_id)
            await storage.replace_token(connection, digest_of(secret), token)
        response = fleet_pb2.CreateEnrolmentTokenResponse(token=secret)
        response.expire_time.FromMicroseconds(int(expire_time * 1e6))
        return response

    async def GetFillPolicy(
        self, request: fleet_pb2.GetFillPolicyRequest, context: Any
    ) -> fleet_pb2.GetFillPolicyResponse:
        site_id = id_in(request.site, "sites", "site")
        async with self._database.read() as connection:
            await self._own_site(connection, site_id, context)
            found = await read_policy(connection, site_id)
        return fleet_pb2.GetFillPolicyResponse(
            policy=found.policy,
            drive_writes_per_day_max=found.drive_writes_per_day_max,
            etag=found.etag,
        )

    async def SetFillPolicy(
        self, request: fleet_pb2.SetFillPolicyRequest, context: Any
    ) -> fleet_pb2.SetFillPolicyResponse:
        site_id, asked = id_in(request.site, "sites", "site"), request.policy
        check_policy(asked)
        async with self._database.write() as connection:
            await self._own_site(connection, site_id, context)
            before = await read_policy(connection, site_id)
            check_etag(request.etag, before.etag, f"the fill policy of {request.site}")
            allowed = asked.drive_writes_per_day
            if caller(context).only_partner() is not None:
                allowed = before.drive_writes_per_day_max
                check_flash(asked.drive_writes_per_day, allowed)
            policy = SitePolicy(asked, allowed)
            await keep_policy(connection, site_id, policy)
        self._on_change()
        return fleet_pb2.SetFillPolicyResponse(policy=policy.policy, etag=policy.etag)

    async def _own_site(self, connection: AsyncConnection, site_id: str, context: Any) -> None:
        """Raises NotFound, or NotAllowed for another partner's."""
        site = await storage.read_site(connection, site_id)
        caller(context).must_own(site.partner.removeprefix("partners/"), site.name)

    async def _set_drained(self, name: str, etag: str, context: Any, *, drained: bool) -> Appliance:
        appliance_id = id_in(name, "appliances", "name")
        async with self._database.write() as connection:
            before = await storage.read_appliance(connection, appliance_id)
            caller(context).must_own(before.partner_id, name)
            check_etag(etag, before.etag, name)
            if before.drained != drained:
                await storage.set_drained(connection, before, drained=drained)
            appliance = await storage.read_appliance(connection, appliance_id)
        self._monitor.belief(appliance_id).drained = drained
        self._on_change()
        return appliance

    def _shown(self, appliance: Appliance) -> fleet_pb2.Appliance:
        belief = self._monitor.belief(appliance.appliance_id)
        address, report = belief.address, appliance.report
        returns = self._returns.of([appliance.appliance_id])
        message = fleet_pb2.Appliance(
            name=f"appliances/{appliance.appliance_id}",
            site=f"sites/{appliance.site_id}",
            weight=appliance.weight,
            drained=appliance.drained,
            health=HEALTH_ON_THE_WIRE[belief.machine.health],
            health_reason=belief.machine.reason,
            serving_address=fleet_pb2.ServingAddress(
                ipv4=address.ipv4, ipv6=address.ipv6, port=address.port, tls=address.tls
            ),
            fill=fleet_pb2.FillSummary(
                manifest_revision=report.manifest_revision,
                wanted_objects=report.wanted_objects,
                held_objects=report.held_objects,
                wanted_bytes=report.wanted_bytes,
                held_bytes=report.held_bytes,
                filled_bytes=returns.filled,
                offloaded_bytes=returns.offloaded,
            ),
            disks=[on_the_wire(disk) for disk in belief.disks],
            software_version=belief.software_version,
            etag=appliance.etag,
        )
        message.create_time.FromMicroseconds(int(appliance.create_time * 1e6))
        if appliance.enrol_time is not None:
            message.enrol_time.FromMicroseconds(int(appliance.enrol_time * 1e6))
        if belief.heard_time is not None:
            message.last_heartbeat_time.FromMicroseconds(int(belief.heard_time * 1e6))
        return message


async def _must_be_new(reading: Any, name: str) -> None:
    try:
        await reading
    except NotFound:
        return
    raise AlreadyExists(f"{name} is there")
