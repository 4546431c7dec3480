"""Decides whether a report of demand is one, and what it says. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from sluice.demand.v1 import demand_pb2
from sluice_control_plane.errors import InvalidRequest
from sluice_control_plane.fleet.appliances import check_incarnation, check_not_negative
from sluice_control_plane.resource_names import id_in, shown

TITLES_MAX = 2_000
VERSION_CHARACTERS_MAX = 128


@dataclass(frozen=True, slots=True)
class DemandReport:
    """What one appliance sent, in bytes by `title/version`, and of everything else."""

    incarnation: str
    sequence: int
    sent_bytes: Mapping[str, int]
    rest_bytes: int


def report_of(request: demand_pb2.ReportDemandRequest) -> DemandReport:
    """Raises InvalidRequest."""
    check_incarnation(request.incarnation)
    if request.sequence < 1:
        raise InvalidRequest(f"sequence is {request.sequence}, expected 1 or more")
    if len(request.titles) > TITLES_MAX:
        raise InvalidRequest(f"{len(request.titles)} titles, expected at most {TITLES_MAX}")
    for field in ("rest_hits", "rest_bytes"):
        check_not_negative(field, getattr(request, field))
    sent_bytes: dict[str, int] = {}
    for each in request.titles:
        version = f"{id_in(each.title, 'titles', 'titles.title')}/{_checked(each.version)}"
        if version in sent_bytes:
            raise InvalidRequest(f"titles has {version} twice")
        check_not_negative("titles.hits", each.hits)
        check_not_negative("titles.sent_bytes", each.sent_bytes)
        sent_bytes[version] = each.sent_bytes
    return DemandReport(request.incarnation, request.sequence, sent_bytes, request.rest_bytes)


def _checked(version: str) -> str:
    if not 1 <= len(version) <= VERSION_CHARACTERS_MAX or "/" in version:
        raise InvalidRequest(
            f"titles.version is {shown(version)}, expected 1..{VERSION_CHARACTERS_MAX} characters"
        )
    return version
