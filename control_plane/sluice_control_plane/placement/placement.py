"""Which appliance should hold which title: in every site, the first few of the bucket's order.

Membership is every enrolled appliance of a site, healthy or not, drained or not: an outage moves no
bytes, and steering, which ranks the same members, still sends clients to where the bytes are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from sluice_control_plane.placement.rendezvous import Member, bucket_of, rank

# Site id and bucket -> how many copies, where they are more than everywhere.
Copies = Mapping[tuple[str, int], int]
NO_MORE: Copies = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Site:
    """A site and the appliances that share its titles."""

    site_id: str
    members: tuple[Member, ...]


def holders(bucket: int, site: Site, copies: int) -> tuple[str, ...]:
    """The appliances of a site that hold a bucket, best first: all of them where there are fewer."""
    return rank(bucket, site.members)[:copies]


def assign(
    titles: Iterable[str], sites: Sequence[Site], copies: int, more: Copies = NO_MORE
) -> Mapping[str, tuple[str, ...]]:
    """The titles that each appliance should hold, in order of id; an appliance without any is there too.

    A site holds `copies` of a bucket, or as many as `more` says of it. Raises ValueError for fewer than one copy.
    """
    if copies < 1:
        raise ValueError(f"copies is {copies}, expected at least 1")
    wanted: dict[str, list[str]] = {
        member.appliance_id: [] for site in sites for member in site.members
    }
    by_bucket: dict[int, list[str]] = {}
    for title in sorted(set(titles)):
        by_bucket.setdefault(bucket_of(title), []).append(title)
    for bucket, titles_there in by_bucket.items():
        for site in sites:
            here = more.get((site.site_id, bucket), copies)
            for appliance_id in holders(bucket, site, here):
                wanted[appliance_id].extend(titles_there)
    return {appliance_id: tuple(sorted(held)) for appliance_id, held in wanted.items()}
