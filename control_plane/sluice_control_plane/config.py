"""The settings of `sluice-control-plane run`."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sluice_runtime.addresses import address_setting
from sluice_runtime.config import setting

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
ZONE_CHARACTERS_MAX = 200
TTL_S_MAX = 86_400
TOKEN_POLICIES = ("off", "signed", "required")


@dataclass(frozen=True, slots=True)
class NameServerSettings:
    """One name server of the zone."""

    host: str = setting("Its name, in lower case without the last dot, in the zone or not.")
    ipv4: str = setting("Its IPv4 address; empty if it has none.", default="")
    ipv6: str = setting("Its IPv6 address; empty if it has none.", default="")

    def __post_init__(self) -> None:
        check_domain("host", self.host)
        _check_address("ipv4", self.ipv4, 4)
        _check_address("ipv6", self.ipv6, 6)


@dataclass(frozen=True, slots=True)
class ControlPlaneSettings:
    """All that an operator may set."""

    state: Path = setting("The folder of the database, the authority, the keys and the identities.")
    listen: str = setting("Where gRPC with mutual TLS listens.", default="127.0.0.1:8443")
    enrolment_listen: str = setting(
        "Where enrolment listens: server TLS alone, no client certificate.",
        default="127.0.0.1:8444",
    )
    admin_listen: str = setting(
        "Where /metrics and /healthz are served over HTTP.", default="127.0.0.1:9443"
    )
    database_url: str = setting(
        "SQLAlchemy URL with an async driver; empty for SQLite in the state folder.", default=""
    )
    zone: str = setting(
        "The steered zone, lower case, without the last dot.", default="v.sluice.test"
    )
    origin_url: str = setting(
        "Where the encoder publishes, the last fill source; ends in a slash, empty for none.",
        default="http://127.0.0.1:8090/",
    )
    name_servers: tuple[NameServerSettings, ...] = setting(
        "The zone's name servers, the first is the SOA's MNAME; none means ns1.ZONE at 127.0.0.1.",
        default=(),
    )
    # A resolver that asked just before an appliance died names it for this long: twenty seconds is
    # two segments more than a player's buffer of three, and one query per name and resolver in
    # twenty seconds is far below what a name server answers.
    steered_ttl_s: int = setting("Time to live of steered answers.", default=20, unit="s")
    negative_ttl_s: int = setting("Time to live of negative answers.", default=10, unit="s")
    static_ttl_s: int = setting(
        "Time to live of NS, SOA and name server addresses.", default=3600, unit="s"
    )
    heartbeat_interval_s: float = setting(
        "How often appliances are asked to send a heartbeat.", default=2.0, unit="s"
    )
    heartbeat_deadline_s: float = setting(
        "An appliance silent for longer is down.", default=4.0, unit="s"
    )
    up_after_heartbeats: int = setting(
        "Serving heartbeats in a row before an appliance is named to clients.", default=2
    )
    copies_per_site: int = setting(
        "How many appliances of each site hold a title, where there are as many.", default=2
    )
    # A map names four appliances of a site: a fifth copy would be asked for by nobody.
    copies_per_site_max: int = setting("How many may hold what is asked for most.", default=4)
    new_release_days: float = setting(
        "A title so young is filled before others, unless its priority is set.",
        default=7.0,
        unit="d",
    )
    tokens: str = setting(
        "Access tokens in URLs: `off`, `signed` (there, not asked for) or `required`.",
        default="off",
    )

    def __post_init__(self) -> None:
        for name in ("listen", "enrolment_listen", "admin_listen"):
            address_setting(name, getattr(self, name))
        check_domain("zone", self.zone)
        _check_origin(self.origin_url)
        for name in ("steered_ttl_s", "negative_ttl_s", "static_ttl_s"):
            _check_range(name, getattr(self, name), 1, TTL_S_MAX)
        _check_range("heartbeat_interval_s", self.heartbeat_interval_s, 0.05, 60.0)
        if not self.heartbeat_interval_s * 1.5 <= self.heartbeat_deadline_s <= 600.0:
            raise ValueError(
                f"heartbeat_deadline_s is {self.heartbeat_deadline_s}, expected "
                f"{self.heartbeat_interval_s * 1.5}..600 (one and a half heartbeat_interval_s)"
            )
        _check_range("up_after_heartbeats", self.up_after_heartbeats, 1, 100)
        _check_range("copies_per_site", self.copies_per_site, 1, 16)
        _check_range("copies_per_site_max", self.copies_per_site_max, 1, 16)
        _check_range("new_release_days", self.new_release_days, 0.0, 365.0)
        if self.tokens not in TOKEN_POLICIES:
            raise ValueError(f"tokens is {self.tokens!r}, expected {', '.join(TOKEN_POLICIES)}")

    def the_name_servers(self) -> tuple[NameServerSettings, ...]:
        """Those that are set, or the one of a system on one machine."""
        return self.name_servers or (NameServerSettings(f"ns1.{self.zone}", ipv4="127.0.0.1"),)

    def the_database_url(self) -> str:
        return self.database_url or f"sqlite+aiosqlite:///{self.state.absolute() / 'sluice.db'}"


def check_domain(name: str, text: str) -> None:
    """Raises ValueError unless `text` is a lower-case domain name without the last dot."""
    if len(text) > ZONE_CHARACTERS_MAX or not all(
        _LABEL.fullmatch(label) for label in text.split(".")
    ):
        raise ValueError(
            f"{name} is {text!r}, expected a lower-case domain name without the last dot"
        )


def _check_address(name: str, text: str, version: int) -> None:
    if not text:
        return
    try:
        right = ipaddress.ip_address(text).version == version
    except ValueError:
        right = False
    if not right:
        raise ValueError(f"{name} is {text!r}, expected an IPv{version} address")


def _check_origin(url: str) -> None:
    if not url:
        return
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.endswith("/"):
        raise ValueError(f"origin_url is {url!r}, expected http://HOST:PORT/ ending in a slash")


def _check_range(name: str, value: float, lowest: float, highest: float) -> None:
    if not lowest <= value <= highest:
        raise ValueError(f"{name} is {value}, expected {lowest}..{highest}")
