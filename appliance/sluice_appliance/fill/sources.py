"""Where an object may be fetched, and what can be wrong with what comes from there."""

import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from sluice.fill.v1 import fill_pb2
from sluice_appliance.object_key import ObjectKey

# Bytes of a body as they come; they stand where they do until the next are asked for.
Chunk = bytes | memoryview


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
    # Other bytes than were asked for.
    WRONG_RANGE = "wrong_range"
    # It has another object under the name than when it was first asked.
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Source:
    """A key appended to `base_url` is the object's URL there."""

    source_id: str
    kind: SourceKind
    base_url: str
    # It is not asked before the title has been wanted for so long.
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class TitleSources:
    """Where a title may be fetched, best first, and the digests of its objects' blocks where there are any."""

    sources: Sequence[Source]
    block_digests: Mapping[ObjectKey, bytes] = field(default_factory=dict)


class SourceFailed(Exception):
    """Try the next source: this one is left for this object."""

    def __init__(
        self, fault: FaultKind, message: str, *, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.fault = fault
        # How long it asked to be left alone.
        self.retry_after_s = retry_after_s


def due(sources: Sequence[Source], waited_s: float) -> tuple[Source, ...]:
    """Those that may be asked for a title which has been wanted for so long."""
    return tuple(source for source in sources if source.wait_s <= waited_s)


def next_due_s(sources: Sequence[Source], waited_s: float) -> float:
    """How long until one more may be asked; infinite where all may."""
    return min((s.wait_s - waited_s for s in sources if s.wait_s > waited_s), default=inf)


def spread(
    sources: Sequence[Source], left: Collection[str], streams: Mapping[str, int]
) -> Source | None:
    """Which source one more stream should read from: of the nearest kind that has any which is not left,
    the one with the fewest streams, and the best of these. None where all are left."""
    usable = [source for source in sources if source.source_id not in left]
    nearest = [source for source in usable if source.kind is usable[0].kind]
    return min(nearest, key=lambda source: streams.get(source.source_id, 0), default=None)


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
    FaultKind.WRONG_RANGE: fill_pb2.SOURCE_FAULT_KIND_WRONG_RANGE,
    FaultKind.CHANGED: fill_pb2.SOURCE_FAULT_KIND_CHANGED,
}


def source_from_wire(source: fill_pb2.FillSource) -> Source:
    """A kind that this program does not know yet is UNKNOWN, and is fetched from all the same."""
    return Source(
        source.source_id,
        _KINDS.get(source.kind, SourceKind.UNKNOWN),
        source.base_url,
        max(0.0, source.wait.seconds + source.wait.nanos / 1e9),
    )


def fault_to_wire(source_id: str, fault: FaultKind, count: int) -> fill_pb2.SourceFault:
    return fill_pb2.SourceFault(source_id=source_id, kind=_FAULTS[fault], count=count)
