"""Decides whether a fill report is one, and what of it is kept. Pure."""

import re
from collections.abc import Mapping

from sluice.fill.v1 import fill_pb2
from sluice_control_plane.errors import InvalidRequest
from sluice_control_plane.fleet.appliances import (
    FillReport,
    check_incarnation,
    check_not_negative,
)
from sluice_control_plane.resource_names import shown

# Title versions on one box: 300 TB of titles of 3 GB each.
COMPLETE_TITLES_MAX = 100_000
SOURCE_FAULTS_MAX = 1000

_VERSION_NAME = re.compile(r"[a-z0-9-]{1,63}/[A-Za-z0-9._-]{1,128}", re.ASCII)


def report_of(request: fill_pb2.ReportFillRequest) -> FillReport:
    """Raises InvalidRequest."""
    check_incarnation(request.incarnation)
    for field in (
        "manifest_revision",
        "held_bytes",
        "wanted_bytes",
        "filled_bytes_total",
        "offloaded_bytes_total",
    ):
        check_not_negative(field, getattr(request, field))
    if len(request.complete_titles) > COMPLETE_TITLES_MAX:
        raise InvalidRequest(
            f"{len(request.complete_titles)} complete_titles, expected at most "
            f"{COMPLETE_TITLES_MAX}"
        )
    for name in request.complete_titles:
        if not _VERSION_NAME.fullmatch(name):
            raise InvalidRequest(f"complete_titles has {shown(name)}, expected TITLE/VERSION")
    return FillReport(
        request.manifest_revision,
        request.held_objects,
        request.wanted_objects,
        request.held_bytes,
        request.wanted_bytes,
        frozenset(request.complete_titles),
    )


def faults_of(request: fill_pb2.ReportFillRequest) -> Mapping[int, int]:
    """How many faults of each kind. A kind newer than ours counts as unspecified."""
    if len(request.source_faults) > SOURCE_FAULTS_MAX:
        raise InvalidRequest(
            f"{len(request.source_faults)} source_faults, expected at most {SOURCE_FAULTS_MAX}"
        )
    counts: dict[int, int] = {}
    known = set(fill_pb2.SourceFaultKind.values())
    for fault in request.source_faults:
        kind = fault.kind if fault.kind in known else 0
        counts[kind] = counts.get(kind, 0) + fault.count
    return counts
