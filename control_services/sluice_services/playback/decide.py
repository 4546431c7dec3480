"""Which pathways a viewer is offered for a title, best first.

The first site of the viewer's class that names somebody is the one that DNS would answer with, so a
list that is steered already (`resolve`) and a name that DNS steers lead to the same appliance.
"""

import ipaddress
from dataclasses import dataclass

from sluice_services.playback.steering_map import Appliance, IPAddress, Site, SteeringView

# A player that failed this often has lost its viewer.
PATHWAYS_MAX = 16
STEERED = "steered"


class NobodyToName(Exception):
    """No site that the viewer may be sent to names an appliance for the title's bucket."""


@dataclass(frozen=True, slots=True)
class Pathway:
    """One way to a title."""

    pathway_id: str
    rank: int
    site: str | None
    appliance: str | None
    host: str
    port: int
    tls: bool

    def url(self, key: str) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}/{key}"


@dataclass(frozen=True, slots=True)
class Decision:
    """The class that the viewer is in, and where it may go; never empty."""

    class_index: int
    pathways: tuple[Pathway, ...]


def decide(view: SteeringView, client: IPAddress, bucket: int, *, resolve: bool) -> Decision:
    """Raises NobodyToName."""
    class_index = view.class_of(client)
    if bucket >= view.bucket_count:
        raise NobodyToName(f"bucket {bucket} is not among the map's {view.bucket_count}")
    ranked = [
        (site, named)
        for site in view.ranked_sites(class_index)
        if (named := view.named(site, bucket))
    ]
    pathways = _by_address(ranked, client) if resolve else _by_name(view, ranked, bucket)
    if not pathways:
        raise NobodyToName(
            f"class {class_index} ranks {len(view.classes[class_index])} sites and none names an"
            f" appliance for bucket {bucket}"
        )
    return Decision(class_index, tuple(pathways[:PATHWAYS_MAX]))


def _by_name(
    view: SteeringView, ranked: list[tuple[Site, tuple[Appliance, ...]]], bucket: int
) -> list[Pathway]:
    """The steered name, then each site's own, which DNS answers whoever asks."""
    if not ranked:
        return []
    best = ranked[0][1][0]
    host = f"b{bucket:04d}.{view.zone}"
    steered = Pathway(STEERED, 1, None, None, host, best.port, best.tls)
    return [steered] + [
        Pathway(
            site.label,
            rank,
            site.name,
            None,
            f"b{bucket:04d}.{site.label}.{view.zone}",
            named[0].port,
            named[0].tls,
        )
        for rank, (site, named) in enumerate(ranked, start=2)
    ]


def _by_address(
    ranked: list[tuple[Site, tuple[Appliance, ...]]], client: IPAddress
) -> list[Pathway]:
    reachable = [
        (site, appliance, address)
        for site, named in ranked
        for appliance in named
        if (address := _address(appliance, client)) is not None
    ]
    return [
        Pathway(
            appliance.name.removeprefix("appliances/"),
            rank,
            site.name,
            appliance.name,
            str(address),
            appliance.port,
            appliance.tls,
        )
        for rank, (site, appliance, address) in enumerate(reachable, start=1)
    ]


def _address(appliance: Appliance, client: IPAddress) -> IPAddress | None:
    """Of the client's own family where there is one: a path that the client surely has."""
    if isinstance(client, ipaddress.IPv6Address):
        return appliance.ipv6 or appliance.ipv4
    return appliance.ipv4 or appliance.ipv6
