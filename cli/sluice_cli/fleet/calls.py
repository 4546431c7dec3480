"""What the fleet commands ask of the control plane."""

import grpc.aio

from sluice.fill.v1 import fill_pb2
from sluice.fleet.v1 import fleet_pb2, fleet_pb2_grpc
from sluice_cli.control_plane import PAGE_SIZE, RPC_TIMEOUT_S, as_operator
from sluice_cli.deployment import Deployment

# A page token that never ends is a mistake of the server's.
PAGES_MAX = 1000


async def list_appliances(deployment: Deployment, site: str) -> list[fleet_pb2.Appliance]:
    """All of them, or those of one site. Raises ControlPlaneRefused."""
    async with as_operator(deployment) as channel:
        return await all_appliances(channel, site)


async def all_appliances(channel: grpc.aio.Channel, site: str = "") -> list[fleet_pb2.Appliance]:
    """The same over a channel that is open. Raises AioRpcError."""
    boxes: list[fleet_pb2.Appliance] = []
    request = fleet_pb2.ListAppliancesRequest(page_size=PAGE_SIZE)
    if site:
        request.site = f"sites/{site.removeprefix('sites/')}"
    fleet = fleet_pb2_grpc.FleetServiceStub(channel)
    for _ in range(PAGES_MAX):
        page = await fleet.ListAppliances(request, timeout=RPC_TIMEOUT_S)
        boxes += page.appliances
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    return boxes


async def one_appliance(deployment: Deployment, act: str, appliance_id: str) -> fleet_pb2.Appliance:
    """`act` is get, drain or undrain; gives the appliance as it is then. Raises ControlPlaneRefused."""
    name = f"appliances/{appliance_id}"
    async with as_operator(deployment) as channel:
        fleet = fleet_pb2_grpc.FleetServiceStub(channel)
        match act:
            case "get":
                got = await fleet.GetAppliance(
                    fleet_pb2.GetApplianceRequest(name=name), timeout=RPC_TIMEOUT_S
                )
                return got.appliance
            case "drain":
                drained = await fleet.DrainAppliance(
                    fleet_pb2.DrainApplianceRequest(name=name), timeout=RPC_TIMEOUT_S
                )
                return drained.appliance
            case "undrain":
                undrained = await fleet.UndrainAppliance(
                    fleet_pb2.UndrainApplianceRequest(name=name), timeout=RPC_TIMEOUT_S
                )
                return undrained.appliance
            case _:
                raise AssertionError(f"no act {act}")


async def get_fill_policy(deployment: Deployment, site_id: str) -> fill_pb2.FillPolicy:
    """Raises ControlPlaneRefused, also where there is no such site."""
    async with as_operator(deployment) as channel:
        got = await fleet_pb2_grpc.FleetServiceStub(channel).GetFillPolicy(
            fleet_pb2.GetFillPolicyRequest(site=f"sites/{site_id}"), timeout=RPC_TIMEOUT_S
        )
        return got.policy


async def set_fill_policy(
    deployment: Deployment, site_id: str, policy: fill_pb2.FillPolicy
) -> fill_pb2.FillPolicy:
    """As it is stored. Raises ControlPlaneRefused."""
    async with as_operator(deployment) as channel:
        made = await fleet_pb2_grpc.FleetServiceStub(channel).SetFillPolicy(
            fleet_pb2.SetFillPolicyRequest(site=f"sites/{site_id}", policy=policy),
            timeout=RPC_TIMEOUT_S,
        )
        return made.policy
