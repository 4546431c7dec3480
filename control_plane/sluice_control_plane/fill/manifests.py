"""Decides what each appliance should hold, as the titles of its fill manifest. Pure.

Members of a site are all its enrolled appliances, healthy or not, drained or not, so that an outage
moves no bytes and steering finds them where placement put them.
"""

from collections.abc import Iterable, Mapping, Sequence

from sluice.content.v1 import content_pb2
from sluice.fill.v1 import fill_pb2
from sluice_control_plane.fleet.appliances import Appliance
from sluice_control_plane.placement.placement import Site, assign
from sluice_control_plane.placement.rendezvous import Member


def place(
    titles: Iterable[content_pb2.Title], fleet: Iterable[Appliance], copies: int
) -> Mapping[str, tuple[str, ...]]:
    """The ids of the titles that each enrolled appliance should hold."""
    members: dict[str, list[Member]] = {}
    for appliance in fleet:
        if appliance.enrol_time is not None:
            member = Member(appliance.appliance_id, appliance.weight)
            members.setdefault(appliance.site_id, []).append(member)
    sites = [Site(site_id, tuple(there)) for site_id, there in sorted(members.items())]
    return assign((title.name.removeprefix("titles/") for title in titles), sites, copies)


def fill_titles(
    title_ids: Sequence[str], catalog: Mapping[str, content_pb2.Title]
) -> list[fill_pb2.FillTitle]:
    """The titles of a manifest, the newest first: the audience of a film is largest when it is new."""
    wanted = sorted(
        (catalog[title_id] for title_id in title_ids),
        key=lambda title: (-title.create_time.ToMicroseconds(), title.name),
    )
    return [_fill_title(title) for title in wanted]


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


def _fill_title(title: content_pb2.Title) -> fill_pb2.FillTitle:
    return fill_pb2.FillTitle(
        title=title.name,
        version=title.version,
        bucket=title.bucket,
        objects=[
            fill_pb2.FillObject(
                key=item.key,
                size_bytes=item.size_bytes,
                sha256=item.sha256,
                content_type=item.content_type,
            )
            for item in title.objects
        ],
    )
