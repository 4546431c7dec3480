"""What the map is compiled from, taken from the truth and the beliefs about the fleet. Pure."""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, replace

from sluice_control_plane.fleet.appliances import Appliance
from sluice_control_plane.fleet.eligibility import excluded, last_resort, withheld
from sluice_control_plane.fleet.monitor import Belief
from sluice_control_plane.steering.compiler import (
    NameServer,
    SteeringAppliance,
    SteeringInput,
)
from sluice_control_plane.truth import Truth

# What `explain` says of an appliance that is named although it is silent.
LAST_RESORT = "silent, as is everybody else, so named on"


@dataclass(frozen=True, slots=True)
class Zone:
    """The steered zone as the operator set it."""

    name: str
    steered_ttl_s: int
    negative_ttl_s: int
    static_ttl_s: int
    name_servers: tuple[NameServer, ...]


def snapshot(
    zone: Zone, truth: Truth, belief_of: Callable[[str], Belief], now: float
) -> SteeringInput:
    """`belief_of` knows every appliance of the truth; `now` is in seconds since 1970."""
    appliances = tuple(
        _appliance(truth, appliance, belief_of(appliance_id))
        for appliance_id, appliance in truth.fleet.items()
    )
    if all(each.withheld for each in appliances):
        appliances = tuple(
            replace(each, withheld="", standing=LAST_RESORT)
            if _is_last_resort(truth.fleet[each.appliance_id], belief_of(each.appliance_id), now)
            else each
            for each in appliances
        )
    return SteeringInput(
        zone=zone.name,
        steered_ttl_s=zone.steered_ttl_s,
        negative_ttl_s=zone.negative_ttl_s,
        static_ttl_s=zone.static_ttl_s,
        name_servers=zone.name_servers,
        sites=truth.sites,
        appliances=appliances,
        partition=truth.partition,
    )


def _appliance(truth: Truth, appliance: Appliance, belief: Belief) -> SteeringAppliance:
    address = belief.address
    why_not = withheld(
        belief.machine.health,
        belief.machine.reason,
        drained=appliance.drained,
        enrolled=appliance.enrol_time is not None,
    )
    return SteeringAppliance(
        appliance_id=appliance.appliance_id,
        site_id=appliance.site_id,
        ipv4=packed(address.ipv4),
        ipv6=packed(address.ipv6),
        port=address.port,
        weight=appliance.weight,
        tls=address.tls,
        withheld=why_not,
        excluded=excluded(truth.catalog.values(), appliance.report.complete_titles),
    )


def _is_last_resort(appliance: Appliance, belief: Belief, now: float) -> bool:
    return belief.heard_time is not None and last_resort(
        belief.machine.health,
        silent=belief.machine.silent,
        drained=appliance.drained,
        enrolled=appliance.enrol_time is not None,
        unheard_s=now - belief.heard_time,
    )


def packed(address: str) -> bytes:
    """Four or sixteen bytes; none for no address."""
    return ipaddress.ip_address(address).packed if address else b""
