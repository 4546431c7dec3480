"""A fleet in a file (TOML): sites, appliances and name servers, for compiling a map without a control plane.

Every appliance in the file counts as up and as holding everything.
"""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from sluice_control_plane.placement.rendezvous import WEIGHT_MAX
from sluice_control_plane.steering.compiler import (
    APPLIANCES_MAX,
    NameServer,
    SteeringAppliance,
    SteeringInput,
    SteeringSite,
)
from sluice_control_plane.steering.partition import Partition
from sluice_runtime import config
from sluice_runtime.config import ConfigError, setting

TTL_MAX_S = 86_400

_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_HOST = re.compile(rf"{_ID.pattern}(?:\.{_ID.pattern})*")


@dataclass(frozen=True, slots=True)
class FleetNameServer:
    host: str = setting("The name server's name, without the last dot.")
    ipv4: str = setting("Its IPv4 address; empty for none.", default="")
    ipv6: str = setting("Its IPv6 address; empty for none.", default="")

    def __post_init__(self) -> None:
        _check(_HOST, "host", self.host, "a DNS name in lower case without the last dot")
        _packed("ipv4", self.ipv4)
        _packed("ipv6", self.ipv6)


@dataclass(frozen=True, slots=True)
class FleetSite:
    id: str = setting("The site's id, a DNS label.")
    partner: str = setting("Whose site it is.", default="")

    def __post_init__(self) -> None:
        _check(_ID, "id", self.id, "1..63 lower-case letters, digits and hyphens")


@dataclass(frozen=True, slots=True)
class FleetAppliance:
    id: str = setting("The appliance's id.")
    site: str = setting("The site it stands in.")
    ipv4: str = setting("Its IPv4 address; empty for none.", default="")
    ipv6: str = setting("Its IPv6 address; empty for none.", default="")
    port: int = setting("The TCP port of its data.", default=8081)
    weight: int = setting("Its share of the site's buckets against its neighbours'.", default=100)
    tls: bool = setting("Whether its data port speaks TLS.", default=False)

    def __post_init__(self) -> None:
        _check(_ID, "id", self.id, "1..63 lower-case letters, digits and hyphens")
        _within("port", self.port, 1, 65_535)
        _within("weight", self.weight, 1, WEIGHT_MAX)
        if not (_packed("ipv4", self.ipv4) or _packed("ipv6", self.ipv6)):
            raise ValueError(f"id is '{self.id}' and has neither ipv4 nor ipv6, expected one")


@dataclass(frozen=True, slots=True)
class FleetFile:
    zone: str = setting("The steered zone, without the last dot.")
    sites: tuple[FleetSite, ...] = setting("The sites, in the order in which they take spill.")
    appliances: tuple[FleetAppliance, ...] = setting("The appliances.", default=())
    name_servers: tuple[FleetNameServer, ...] = setting(
        "The zone's name servers; `ns1.<zone>` at 127.0.0.1 where there are none.", default=()
    )
    # 20 s: an appliance that dies is out of every resolver's cache within it.
    steered_ttl_s: int = setting("Time to live of steered answers.", default=20, unit="s")
    negative_ttl_s: int = setting("Time to live of negative answers.", default=5, unit="s")
    static_ttl_s: int = setting("Time to live of NS and SOA records.", default=3600, unit="s")

    def __post_init__(self) -> None:
        _check(_HOST, "zone", self.zone, "a DNS name in lower case without the last dot")
        for name in ("steered_ttl_s", "negative_ttl_s", "static_ttl_s"):
            _within(name, getattr(self, name), 0, TTL_MAX_S)
        if not self.sites:
            raise ValueError("sites is empty, expected at least one [[sites]] table")
        if len(self.appliances) > APPLIANCES_MAX:
            raise ValueError(f"appliances are {len(self.appliances)}, at most {APPLIANCES_MAX}")


def read_fleet(path: Path) -> FleetFile:
    """Raises ConfigError with file and line."""
    fleet = config.load(path, FleetFile)
    _refuse_twice(path, "sites", [site.id for site in fleet.sites])
    _refuse_twice(path, "appliances", [appliance.id for appliance in fleet.appliances])
    sites = {site.id for site in fleet.sites}
    for ordinal, appliance in enumerate(fleet.appliances):
        if appliance.site not in sites:
            line = _table_line(path, "appliances", ordinal)
            raise ConfigError(
                f"{path}:{line}: site of {appliance.id} is '{appliance.site}', "
                f"expected one of {', '.join(sorted(sites))}"
            )
    return fleet


def snapshot_of(fleet: FleetFile, cut: Partition) -> SteeringInput:
    """The fleet with every appliance up and holding everything."""
    name_servers = fleet.name_servers or (FleetNameServer(f"ns1.{fleet.zone}", "127.0.0.1", ""),)
    return SteeringInput(
        zone=fleet.zone,
        steered_ttl_s=fleet.steered_ttl_s,
        negative_ttl_s=fleet.negative_ttl_s,
        static_ttl_s=fleet.static_ttl_s,
        name_servers=tuple(
            NameServer(each.host, _packed("ipv4", each.ipv4), _packed("ipv6", each.ipv6))
            for each in name_servers
        ),
        sites=tuple(SteeringSite(each.id, each.partner) for each in fleet.sites),
        appliances=tuple(_appliance(each) for each in fleet.appliances),
        partition=cut,
    )


def _appliance(appliance: FleetAppliance) -> SteeringAppliance:
    return SteeringAppliance(
        appliance_id=appliance.id,
        site_id=appliance.site,
        ipv4=_packed("ipv4", appliance.ipv4),
        ipv6=_packed("ipv6", appliance.ipv6),
        port=appliance.port,
        weight=appliance.weight,
        tls=appliance.tls,
    )


def _refuse_twice(path: Path, table: str, ids: list[str]) -> None:
    seen: set[str] = set()
    for ordinal, id_ in enumerate(ids):
        if id_ in seen:
            line = _table_line(path, table, ordinal)
            raise ConfigError(f"{path}:{line}: id '{id_}' is in [[{table}]] twice")
        seen.add(id_)


def _table_line(path: Path, table: str, ordinal: int) -> int:
    """The line of the `ordinal`-th `[[table]]` header; 1 where tables are written inline."""
    header = re.compile(rf"\s*\[\[\s*{table}\s*\]\]")
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    found = [number for number, line in lines if header.match(line)]
    return found[ordinal] if ordinal < len(found) else 1


def _packed(name: str, text: str) -> bytes:
    """Address text as bytes. Raises ValueError that begins with `name`."""
    if not text:
        return b""
    kind = ipaddress.IPv4Address if name == "ipv4" else ipaddress.IPv6Address
    try:
        return kind(text).packed
    except ValueError:
        raise ValueError(f"{name} is '{text}', expected an IPv{name[-1]} address") from None


def _within(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name} is {value}, expected {least}..{most}")


def _check(pattern: re.Pattern[str], name: str, text: str, expected: str) -> None:
    if not pattern.fullmatch(text) or len(text) > 253:
        raise ValueError(f"{name} is '{text}', expected {expected}")
