"""Decides who may call what: one table, method -> roles. A method that is not in it is refused. Pure.

What a partner or an appliance may do is narrowed further to what is its own by `Caller`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sluice_control_plane.errors import NotAllowed, NotKnown


class Role(StrEnum):
    OPERATOR = "operator"
    PARTNER = "partner"
    APPLIANCE = "appliance"
    STEERER = "steerer"
    SERVICE = "service"
    PUBLISHER = "publisher"


_O, _P, _A = Role.OPERATOR, Role.PARTNER, Role.APPLIANCE
_D, _S, _E = Role.STEERER, Role.SERVICE, Role.PUBLISHER
_ANY = frozenset(Role)

_FLEET = "/sluice.fleet.v1.FleetService/"
_ROUTES = "/sluice.routes.v1.RoutesService/"
_CONTENT = "/sluice.content.v1.ContentService/"
_FILL = "/sluice.fill.v1.FillService/"
_DEMAND = "/sluice.demand.v1.DemandService/"
_STEERING = "/sluice.steering.v1.SteeringService/"
_TOKENS = "/sluice.tokens.v1.TokenKeyService/"

METHOD_ROLES: Mapping[str, frozenset[Role]] = {
    _FLEET + "CreatePartner": frozenset({_O}),
    _FLEET + "ListPartners": frozenset({_O, _P}),
    _FLEET + "CreateSite": frozenset({_O}),
    _FLEET + "ListSites": frozenset({_O, _P}),
    _FLEET + "CreateAppliance": frozenset({_O}),
    _FLEET + "GetAppliance": frozenset({_O, _P}),
    _FLEET + "ListAppliances": frozenset({_O, _P, _S}),
    _FLEET + "DrainAppliance": frozenset({_O, _P}),
    _FLEET + "UndrainAppliance": frozenset({_O, _P}),
    _FLEET + "CreateEnrolmentToken": frozenset({_O}),
    _FLEET + "GetFillPolicy": frozenset({_O, _P}),
    _FLEET + "SetFillPolicy": frozenset({_O, _P}),
    "/sluice.fleet.v1.ApplianceService/ReportHeartbeat": frozenset({_O, _A}),
    _ROUTES + "ReplaceRoutes": frozenset({_O, _P}),
    _ROUTES + "ListRoutes": frozenset({_O, _P}),
    _CONTENT + "CreateTitle": frozenset({_O, _E}),
    _CONTENT + "GetTitle": frozenset({_O, _E, _S}),
    _CONTENT + "ListTitles": frozenset({_O, _E, _S}),
    _CONTENT + "DeleteTitle": frozenset({_O, _E}),
    _CONTENT + "SetTitlePriority": frozenset({_O}),
    _CONTENT + "WatchTitles": frozenset({_O, _E, _S}),
    _FILL + "WatchManifest": frozenset({_O, _A}),
    _FILL + "ListSources": frozenset({_O, _A}),
    _FILL + "LookUpObject": frozenset({_O, _A}),
    _FILL + "ReportFill": frozenset({_O, _A}),
    _DEMAND + "ReportDemand": frozenset({_O, _A}),
    _STEERING + "WatchMap": frozenset({_O, _D, _S}),
    _STEERING + "ExplainClient": frozenset({_O}),
    _TOKENS + "WatchTokenKeys": frozenset({_O, _A}),
    # Private keys: for who signs, and for nobody's eyes.
    _TOKENS + "WatchSigningKeys": frozenset({_S}),
    _TOKENS + "ListTokenKeys": frozenset({_O}),
    _TOKENS + "RotateTokenKeys": frozenset({_O}),
    "/grpc.health.v1.Health/Check": _ANY,
    "/grpc.health.v1.Health/List": _ANY,
    "/grpc.health.v1.Health/Watch": _ANY,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _ANY,
}

# The one method that asks for no certificate, on a port of its own.
ENROL = "/sluice.fleet.v1.EnrolmentService/Enrol"

_URI = re.compile(r"spiffe://sluice/(?P<role>[a-z]+)/(?P<name>[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: a role and a name, such as partner `partner-a`."""

    role: Role
    name: str

    def must_speak_for(self, appliance_id: str) -> None:
        """Raises NotAllowed where an appliance speaks for another."""
        if self.role is Role.APPLIANCE and self.name != appliance_id:
            raise NotAllowed(f"appliance {self.name} may not speak for appliances/{appliance_id}")

    def must_own(self, partner_id: str, what: str) -> None:
        """Raises NotAllowed where a partner reaches for what stands in another's site."""
        if self.role is Role.PARTNER and self.name != partner_id:
            raise NotAllowed(f"partner {self.name} may not touch {what} of another partner")

    def only_partner(self) -> str | None:
        """The one partner whose things the caller sees; None for all."""
        return self.name if self.role is Role.PARTNER else None


def uri_of(role: Role, name: str) -> str:
    """The name in a certificate."""
    return f"spiffe://sluice/{role}/{name}"


def caller_of(uri: str | None) -> Caller:
    """Raises NotKnown unless `uri` is one that we put into certificates."""
    match = _URI.fullmatch(uri or "")
    if match is None or match["role"] not in _ANY:
        raise NotKnown(f"the caller's certificate names {uri or 'nobody'}, expected a role of ours")
    return Caller(Role(match["role"]), match["name"])


def admit(method: str, caller: Caller) -> None:
    """Raises NotAllowed unless the table lets the caller's role call `method`."""
    if caller.role not in METHOD_ROLES.get(method, frozenset()):
        raise NotAllowed(f"{caller.role} {caller.name} may not call {method}")
