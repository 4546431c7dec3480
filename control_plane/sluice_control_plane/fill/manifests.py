"""Decides what each appliance should hold, as the titles of its fill manifest. Pure.

Members of a site are all its enrolled appliances, healthy or not, drained or not, so that an outage
moves no bytes and steering finds them where placement put them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import eq

from sluice.content.v1 import content_pb2
from sluice.fill.v1 import fill_pb2
from sluice_control_plane.fill.expected import in_order, settled
from sluice_control_plane.fleet.appliances import Appliance
from sluice_control_plane.placement.placement import NO_MORE, Copies, Site, assign
from sluice_control_plane.placement.rendezvous import Member

# Manifests by appliance id, as they were told or are to be told.
Told = Mapping[str, Sequence[fill_pb2.FillTitle]]


@dataclass(frozen=True, slots=True)
class Catalog:
    """All titles, the bytes of each and how urgent it is, by name."""

    titles: Mapping[str, content_pb2.Title]
    sizes: Mapping[str, int]
    priorities: Mapping[str, fill_pb2.FillPriority.ValueType]


def sites_of(fleet: Iterable[Appliance]) -> list[Site]:
    """The sites that have enrolled appliances, in order of id."""
    members: dict[str, list[Member]] = {}
    for appliance in fleet:
        if appliance.enrol_time is not None:
            member = Member(appliance.appliance_id, appliance.weight)
            members.setdefault(appliance.site_id, []).append(member)
    return [Site(site_id, tuple(there)) for site_id, there in sorted(members.items())]


def place(
    titles: Iterable[content_pb2.Title],
    fleet: Iterable[Appliance],
    copies: int,
    more: Copies = NO_MORE,
) -> Mapping[str, tuple[str, ...]]:
    """The ids of the titles that each enrolled appliance should hold."""
    title_ids = (title.name.removeprefix("titles/") for title in titles)
    return assign(title_ids, sites_of(fleet), copies, more)


def fill_manifests(
    placed: Mapping[str, Sequence[str]],
    fleet: Iterable[Appliance],
    catalog: Catalog,
    expected: Mapping[str, Mapping[str, float]],
    before: Told,
) -> Mapping[str, list[fill_pb2.FillTitle]]:
    """What each appliance is told. `expected` has what clients of each site are expected to take, in
    bytes/s by title name: those of one appliance take their share of its copies."""
    site_of = {appliance.appliance_id: appliance.site_id for appliance in fleet}
    copies: dict[tuple[str, str], int] = {}
    for appliance_id, title_ids in placed.items():
        for title_id in title_ids:
            place_of = site_of[appliance_id], title_id
            copies[place_of] = copies.get(place_of, 0) + 1
    plain = {
        name: _fill_title(title, catalog.priorities[name]) for name, title in catalog.titles.items()
    }
    found: dict[str, list[fill_pb2.FillTitle]] = {}
    for appliance_id, title_ids in placed.items():
        site_id = site_of[appliance_id]
        told = {title.title: title.demand_bytes_per_s for title in before.get(appliance_id, ())}
        shares = {
            (name := f"titles/{title_id}"): settled(
                told.get(name, 0.0), expected[site_id][name] / copies[site_id, title_id]
            )
            for title_id in title_ids
        }
        order = in_order(shares, catalog.sizes, plain, catalog.titles)
        for name in order:
            plain[name].demand_bytes_per_s = shares[name]
        told_before = before.get(appliance_id, ())
        # Most of the time nothing changed, and comparing costs a third of copying and no memory.
        if len(told_before) == len(order) and all(map(eq, told_before, map(plain.get, order))):
            found[appliance_id] = list(told_before)
        else:
            found[appliance_id] = [_copy(plain[name]) for name in order]
    return found


def wanted_at(
    placed: Mapping[str, Sequence[str]], fleet: Iterable[Appliance]
) -> Mapping[str, Mapping[str, list[str]]]:
    """For each title the appliances of each site that should hold it."""
    site_of = {appliance.appliance_id: appliance.site_id for appliance in fleet}
    wanted: dict[str, dict[str, list[str]]] = {}
    for appliance_id, title_ids in placed.items():
        for title_id in title_ids:
            there = wanted.setdefault(title_id, {})
            there.setdefault(site_of[appliance_id], []).append(appliance_id)
    return wanted


def fill_object(item: content_pb2.MediaObject) -> fill_pb2.FillObject:
    return fill_pb2.FillObject(
        key=item.key,
        size_bytes=item.size_bytes,
        sha256=item.sha256,
        content_type=item.content_type,
    )


def _copy(plain: fill_pb2.FillTitle) -> fill_pb2.FillTitle:
    title = fill_pb2.FillTitle()
    title.CopyFrom(plain)
    return title


def _fill_title(
    title: content_pb2.Title, priority: fill_pb2.FillPriority.ValueType
) -> fill_pb2.FillTitle:
    return fill_pb2.FillTitle(
        title=title.name,
        version=title.version,
        bucket=title.bucket,
        priority=priority,
        objects=[fill_object(item) for item in title.objects],
    )
