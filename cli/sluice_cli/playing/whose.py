"""Whose address is it: appliances by address, from whoever can be asked."""

from collections import Counter
from collections.abc import Mapping

from sluice.fleet.v1 import fleet_pb2, fleet_pb2_grpc
from sluice_cli.control_plane import PAGE_SIZE, as_operator
from sluice_cli.deployment import Deployment
from sluice_cli.errors import DeskError
from sluice_cli.playing import playback_api

# The names are a comfort; nobody waits longer for them.
TIMEOUT_S = 2.0

Places = Mapping[tuple[str, int], str]


async def appliances_by_address(deployment: Deployment, title: str, client: str | None) -> Places:
    """Ids by address and port: from the control plane, else from the gateway, else nothing."""
    try:
        return await _from_control_plane(deployment)
    except DeskError:
        pass
    try:
        resolved = await playback_api.ask(deployment.gateway, title, client, resolve=True)
    except DeskError:
        return {}
    return {
        (pathway.host, pathway.port): pathway.appliance
        for pathway in resolved.pathways
        if pathway.appliance is not None
    }


async def _from_control_plane(deployment: Deployment) -> Places:
    async with as_operator(deployment) as channel:
        fleet = fleet_pb2_grpc.FleetServiceStub(channel)
        answer = await fleet.ListAppliances(
            fleet_pb2.ListAppliancesRequest(page_size=PAGE_SIZE), timeout=TIMEOUT_S
        )
    return {
        (address, box.serving_address.port): box.name.removeprefix("appliances/")
        for box in answer.appliances
        for address in (box.serving_address.ipv4, box.serving_address.ipv6)
        if address
    }


def by_name(bytes_by_place: Counter[tuple[str, int]], places: Places) -> dict[str, int]:
    """Bytes by appliance, in order of name; by address where nobody knows whose it is."""
    named: Counter[str] = Counter()
    for (address, port), size_bytes in bytes_by_place.items():
        named[places.get((address, port), address)] += size_bytes
    return dict(sorted(named.items()))
