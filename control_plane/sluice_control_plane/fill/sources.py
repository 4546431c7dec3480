"""Decides where an appliance may fetch a title: peers of its site, other sites, the origin. Pure.

One box of a site leads for a title: it goes to other sites and to the origin at once. The others of the
site are told to wait before they do, for as long as the leader may need, so that they fetch from it and
a title crosses the provider's border once. When the leader falls, the next one leads.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sluice.fill.v1 import fill_pb2
from sluice_control_plane.placement.rendezvous import Member, rank

# An appliance tries them in order; after so many the origin is the better friend.
SOURCES_MAX = 16
ORIGIN_ID = "origin"
# What a leader may need before its first byte, and the rate at which it is expected to fetch at least.
WAIT_S_MIN = 5.0
LEADER_BYTES_PER_S = 12_500_000.0
# A leader that is slower than that, or waits for its window, is waited for no longer.
WAIT_S_MAX = 3600.0
# The origin is asked later than other sites: they are nearer, and it is one for all.
ORIGIN_WAITS = 2.0

_PEER = fill_pb2.FILL_SOURCE_KIND_PEER
_SITE = fill_pb2.FILL_SOURCE_KIND_SITE
_ORIGIN = fill_pb2.FILL_SOURCE_KIND_ORIGIN


@dataclass(frozen=True, slots=True)
class Asker:
    """Who wants a title."""

    appliance_id: str
    site_id: str
    partner_id: str


@dataclass(frozen=True, slots=True)
class Holder:
    """A healthy appliance that reports the title whole. A drained one may be a source."""

    appliance_id: str
    site_id: str
    partner_id: str
    base_url: str


def leader(title: str, candidates: Iterable[Member]) -> str | None:
    """Who of a site fetches `title` from afar; None where nobody can. The candidates are its boxes that
    are well, are to hold the title and do not hold it yet."""
    by_name = {f"{title}<{each.appliance_id}": each for each in candidates}
    # The names carry the title, so that titles of one bucket have leaders of their own.
    order = rank(0, [Member(name, each.weight) for name, each in by_name.items()])
    return by_name[order[0]].appliance_id if order else None


def rank_sources(
    asker: Asker,
    bucket: int,
    holders: Iterable[Holder],
    origin_url: str,
    *,
    leads: bool,
    size_bytes: int,
) -> Sequence[fill_pb2.FillSource]:
    """Best first; never empty where there is an origin. Each asker ranks equals by a hash of its own, so
    that not all ask the same one. `size_bytes` is of the title."""
    wait_s = 0.0 if leads else _wait_s(size_bytes)
    near, far = [], []
    for holder in _in_order(asker, bucket, holders):
        if holder.site_id == asker.site_id:
            near.append(_source(holder.appliance_id, _PEER, holder.base_url, 0.0))
        else:
            far.append(_source(holder.appliance_id, _SITE, holder.base_url, wait_s))
    sources = (near + far)[: SOURCES_MAX - 1]
    if origin_url:
        sources.append(_source(ORIGIN_ID, _ORIGIN, origin_url, wait_s * ORIGIN_WAITS))
    return sources


def _in_order(asker: Asker, bucket: int, holders: Iterable[Holder]) -> list[Holder]:
    """What the bytes cost: of the same site nothing, of the same partner its own network, else transit."""
    others = {
        each.appliance_id: each for each in holders if each.appliance_id != asker.appliance_id
    }
    # The names carry the asker, and the hash with them.
    members = [Member(f"{asker.appliance_id}<{appliance_id}", 1) for appliance_id in others]
    order = [others[name.partition("<")[2]] for name in rank(bucket, members)]
    return sorted(order, key=lambda each: _cost(asker, each))


def _cost(asker: Asker, holder: Holder) -> int:
    if holder.site_id == asker.site_id:
        return 0
    return 1 if holder.partner_id == asker.partner_id else 2


def _wait_s(size_bytes: int) -> float:
    return min(WAIT_S_MIN + size_bytes / LEADER_BYTES_PER_S, WAIT_S_MAX)


def _source(
    source_id: str, kind: fill_pb2.FillSourceKind.ValueType, base_url: str, wait_s: float
) -> fill_pb2.FillSource:
    source = fill_pb2.FillSource(source_id=source_id, kind=kind, base_url=base_url)
    source.wait.FromMicroseconds(int(wait_s * 1e6))
    return source
