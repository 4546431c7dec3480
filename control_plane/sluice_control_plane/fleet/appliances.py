"""What an appliance, a site and a partner are, and which of a caller's words about them are right. Pure."""

import hashlib
import ipaddress
import math
from dataclasses import dataclass

from sluice.fleet.v1 import fleet_pb2
from sluice_control_plane.errors import EtagMismatch, InvalidRequest
from sluice_control_plane.fleet.health import Health, Heartbeat
from sluice_control_plane.resource_names import shown

WEIGHT_DEFAULT = 100
WEIGHT_MAX = 1000
INCARNATION_CHARACTERS_MAX = 64
VERSION_CHARACTERS_MAX = 64

HEALTH_ON_THE_WIRE = {
    Health.NEVER_SEEN: fleet_pb2.APPLIANCE_HEALTH_NEVER_SEEN,
    Health.STARTING: fleet_pb2.APPLIANCE_HEALTH_STARTING,
    Health.UP: fleet_pb2.APPLIANCE_HEALTH_UP,
    Health.DOWN: fleet_pb2.APPLIANCE_HEALTH_DOWN,
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where an appliance serves; the default is nowhere."""

    ipv4: str = ""
    ipv6: str = ""
    port: int = 0
    tls: bool = False

    def base_url(self) -> str:
        """An object's key appended to this is its URL; empty for nowhere."""
        host = self.ipv4 or (f"[{self.ipv6}]" if self.ipv6 else "")
        return f"http{'s' if self.tls else ''}://{host}:{self.port}/" if host else ""


@dataclass(frozen=True, slots=True)
class FillReport:
    """What an appliance last said that it holds."""

    manifest_revision: int = 0
    held_objects: int = 0
    wanted_objects: int = 0
    held_bytes: int = 0
    wanted_bytes: int = 0
    # `title/version`.
    complete_titles: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Appliance:
    """One box as operators set it up."""

    appliance_id: str
    site_id: str
    partner_id: str
    weight: int
    drained: bool
    generation: int
    create_time: float
    enrol_time: float | None
    report: FillReport

    @property
    def etag(self) -> str:
        return etag_of(self.appliance_id, self.generation)


def etag_of(*parts: object) -> str:
    """Changes with any of the parts."""
    text = "/".join(str(part) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def check_etag(asked: str, current: str, name: str) -> None:
    """Raises EtagMismatch where the caller decided on an older reading."""
    if asked and asked != current:
        raise EtagMismatch(f"{name} has etag {current}, not {shown(asked)}; read it again")


def weight_of(asked: int) -> int:
    """The weight of a new appliance. Raises InvalidRequest."""
    if asked > WEIGHT_MAX:
        raise InvalidRequest(f"weight is {asked}, expected 1..{WEIGHT_MAX}")
    return asked or WEIGHT_DEFAULT


def address_of(message: fleet_pb2.ServingAddress) -> Address:
    """Raises InvalidRequest for text that is no address, or no address at all."""
    if not (message.ipv4 or message.ipv6):
        raise InvalidRequest("serving_address has neither ipv4 nor ipv6")
    if not 1 <= message.port <= 65_535:
        raise InvalidRequest(f"serving_address.port is {message.port}, expected 1..65535")
    return Address(
        _address("serving_address.ipv4", message.ipv4, 4),
        _address("serving_address.ipv6", message.ipv6, 6),
        message.port,
        message.tls,
    )


def heartbeat_of(request: fleet_pb2.ReportHeartbeatRequest) -> Heartbeat:
    """Raises InvalidRequest for a heartbeat that no appliance of ours sends."""
    check_incarnation(request.incarnation)
    if request.sequence < 1:
        raise InvalidRequest(f"sequence is {request.sequence}, expected 1 or more")
    if len(request.software_version) > VERSION_CHARACTERS_MAX:
        raise InvalidRequest(
            f"software_version has {len(request.software_version)} characters, expected at most "
            f"{VERSION_CHARACTERS_MAX}"
        )
    for field in ("capacity_bytes", "stored_bytes", "sent_bytes_total"):
        check_not_negative(field, getattr(request, field))
    if not math.isfinite(request.cpu_fraction) or request.cpu_fraction < 0:
        raise InvalidRequest(f"cpu_fraction is {request.cpu_fraction}, expected 0..1")
    return Heartbeat(request.incarnation, request.sequence, request.serving)


def check_incarnation(text: str) -> None:
    if not 1 <= len(text) <= INCARNATION_CHARACTERS_MAX or not text.isprintable():
        raise InvalidRequest(
            f"incarnation is {shown(text)}, expected 1..{INCARNATION_CHARACTERS_MAX} "
            "printable characters"
        )


def check_not_negative(field: str, value: int) -> None:
    if value < 0:
        raise InvalidRequest(f"{field} is {value}, expected 0 or more")


def _address(field: str, text: str, version: int) -> str:
    if not text:
        return ""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        raise InvalidRequest(
            f"{field} is {shown(text)}, expected an IPv{version} address"
        ) from None
    if found.version != version or (isinstance(found, ipaddress.IPv6Address) and found.scope_id):
        raise InvalidRequest(f"{field} is {shown(text)}, expected an IPv{version} address")
    return str(found)
