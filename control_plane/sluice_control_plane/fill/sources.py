"""Decides where an appliance may fetch a title: peers of its site, other sites, the origin. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sluice.fill.v1 import fill_pb2
from sluice_control_plane.placement.rendezvous import Member, rank

# An appliance tries them in order; after so many the origin is the better friend.
SOURCES_MAX = 16
ORIGIN_ID = "origin"

_PEER = fill_pb2.FILL_SOURCE_KIND_PEER
_SITE = fill_pb2.FILL_SOURCE_KIND_SITE
_ORIGIN = fill_pb2.FILL_SOURCE_KIND_ORIGIN


@dataclass(frozen=True, slots=True)
class Holder:
    """A healthy appliance that reports the title whole. A drained one may be a source."""

    appliance_id: str
    site_id: str
    base_url: str


def rank_sources(
    asker_id: str, asker_site_id: str, bucket: int, holders: Iterable[Holder], origin_url: str
) -> Sequence[fill_pb2.FillSource]:
    """Best first. Each asker ranks equals by a hash of its own, so that not all ask the same one."""
    others = {holder.appliance_id: holder for holder in holders if holder.appliance_id != asker_id}
    # The names carry the asker, and the hash with them.
    members = [Member(f"{asker_id}<{appliance_id}", 1) for appliance_id in others]
    order = [others[name.partition("<")[2]] for name in rank(bucket, members)]
    near = [_source(holder, _PEER) for holder in order if holder.site_id == asker_site_id]
    far = [_source(holder, _SITE) for holder in order if holder.site_id != asker_site_id]
    sources = (near + far)[: SOURCES_MAX - 1]
    if origin_url:
        sources.append(fill_pb2.FillSource(source_id=ORIGIN_ID, kind=_ORIGIN, base_url=origin_url))
    return sources


def _source(holder: Holder, kind: fill_pb2.FillSourceKind.ValueType) -> fill_pb2.FillSource:
    return fill_pb2.FillSource(source_id=holder.appliance_id, kind=kind, base_url=holder.base_url)
