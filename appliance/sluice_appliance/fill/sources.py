"""Where an object may be fetched, and what can be wrong with what comes from there."""

import enum
from dataclasses import dataclass

from sluice.fill.v1 import fill_pb2


class SourceKind(enum.Enum):
    """How near a source is; a label of counters."""

    UNKNOWN = "unknown"
    PEER = "peer"
    SITE = "site"
    ORIGIN = "origin"


class FaultKind(enum.Enum):
    """What was wrong; a label of counters."""

    UNAVAILABLE = "unavailable"
    STALLED = "stalled"
    TRUNCATED = "truncated"
    OVERLONG = "overlong"
    DIGEST_MISMATCH = "digest_mismatch"


@dataclass(frozen=True, slots=True)
class Source:
    """A key appended to `base_url` is the object's URL there."""

    source_id: str
    kind: SourceKind
    base_url: str


class SourceFailed(Exception):
    """Try the next source: this one is left for this object."""

    def __init__(self, fault: FaultKind, message: str) -> None:
        super().__init__(message)
        self.fault = fault


_KINDS = {
    fill_pb2.FILL_SOURCE_KIND_UNSPECIFIED: SourceKind.UNKNOWN,
    fill_pb2.FILL_SOURCE_KIND_PEER: SourceKind.PEER,
    fill_pb2.FILL_SOURCE_KIND_SITE: SourceKind.SITE,
    fill_pb2.FILL_SOURCE_KIND_ORIGIN: SourceKind.ORIGIN,
}
_FAULTS = {
    FaultKind.UNAVAILABLE: fill_pb2.SOURCE_FAULT_KIND_UNAVAILABLE,
    FaultKind.STALLED: fill_pb2.SOURCE_FAULT_KIND_STALLED,
    FaultKind.TRUNCATED: fill_pb2.SOURCE_FAULT_KIND_TRUNCATED,
    FaultKind.OVERLONG: fill_pb2.SOURCE_FAULT_KIND_OVERLONG,
    FaultKind.DIGEST_MISMATCH: fill_pb2.SOURCE_FAULT_KIND_DIGEST_MISMATCH,
}


def source_from_wire(source: fill_pb2.FillSource) -> Source:
    """A kind that this program does not know yet is UNKNOWN, and is fetched from all the same."""
    return Source(source.source_id, _KINDS.get(source.kind, SourceKind.UNKNOWN), source.base_url)


def fault_to_wire(source_id: str, fault: FaultKind, count: int) -> fill_pb2.SourceFault:
    return fill_pb2.SourceFault(source_id=source_id, kind=_FAULTS[fault], count=count)
