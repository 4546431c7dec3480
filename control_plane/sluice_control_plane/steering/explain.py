"""Why a client is sent where it is sent.

Class, scope, ranking and answer are read from the compiled map itself, so that an explanation cannot
disagree with what DNS says; only the reasons come from what the map was compiled from.
"""

import ipaddress

from sluice.steering.v1 import map_pb2, steering_pb2
from sluice_control_plane.placement.rendezvous import BUCKET_COUNT, bucket_of, rank
from sluice_control_plane.steering import lookup
from sluice_control_plane.steering.compiler import SteeringAppliance, SteeringInput
from sluice_control_plane.steering.partition import DEFAULT_CLASS
from sluice_control_plane.steering.routes import Prefix, key_of


class AddressRefused(ValueError):
    """The text is not an IPv4 or IPv6 address."""


def explain(
    snapshot: SteeringInput,
    steering_map: map_pb2.SteeringMap,
    client_address: str,
    title_id: str | None = None,
) -> steering_pb2.ExplainClientResponse:
    """The reasons of one client's answer. `steering_map` is what `snapshot` was compiled into.

    Raises AddressRefused.
    """
    try:
        family, key = key_of(ipaddress.ip_address(client_address))
    except ValueError:
        raise AddressRefused(
            f"client_address is '{client_address}', expected an IPv4 or IPv6 address"
        ) from None
    where = lookup.place(steering_map, family, key)
    covering = snapshot.partition.covering(family, key)
    bucket = bucket_of(title_id) if title_id is not None else _emptiest_bucket(snapshot)
    named = lookup.named_site(steering_map, where, bucket)
    answer = () if named is None else lookup.row(steering_map, named, bucket)
    response = steering_pb2.ExplainClientResponse(
        map_revision=steering_map.revision,
        class_index=where.class_index,
        matching_prefix=str(covering[0]) if covering else "",
        scope=where.scope,
        sites=(
            _site(snapshot, site, _place_reason(snapshot, covering, site), bucket)
            for site in where.sites
        ),
        answer=(steering_map.appliances[index].appliance for index in answer),
    )
    if title_id is not None:
        response.bucket = bucket
    response.reasons.extend(
        (
            _route_sentence(snapshot, covering, client_address),
            _class_sentence(snapshot, where, family),
            _bucket_sentence(title_id, bucket),
            *_spill_sentences(snapshot, where, named, bucket),
            _answer_sentence(snapshot, named, response),
        )
    )
    return response


def _emptiest_bucket(snapshot: SteeringInput) -> int:
    """The lowest bucket that nobody lacks: what an appliance answers for when it holds nothing."""
    lacking = {bucket for each in snapshot.appliances for bucket in each.excluded}
    return next((bucket for bucket in range(BUCKET_COUNT) if bucket not in lacking), 0)


def _site(
    snapshot: SteeringInput, site: int, reason: str, bucket: int
) -> steering_pb2.ExplainedSite:
    site_id = snapshot.sites[site].site_id
    members = {each.appliance_id: each for each in snapshot.members_of(site_id)}
    order = rank(bucket, [each.member for each in members.values()])
    return steering_pb2.ExplainedSite(
        site=f"sites/{site_id}",
        reason=reason,
        appliances=(_appliance(members[appliance_id], bucket) for appliance_id in order),
    )


def _appliance(appliance: SteeringAppliance, bucket: int) -> steering_pb2.ExplainedAppliance:
    why_not = appliance.why_not(bucket)
    return steering_pb2.ExplainedAppliance(
        appliance=f"appliances/{appliance.appliance_id}",
        eligible=not why_not,
        reason=why_not or f"{appliance.standing}, and holds what is in bucket {bucket}",
    )


def _place_reason(snapshot: SteeringInput, covering: tuple[Prefix, ...], site: int) -> str:
    """Why a site stands where it stands: the longest covering route that it announces."""
    announcers = snapshot.partition.announcers
    for prefix in covering:
        if site in announcers[prefix]:
            longest = "the longest route" if prefix == covering[0] else "a shorter route"
            return f"announces {prefix}, {longest} that covers the client"
    if covering:
        return "announces no route that covers the client: takes spill, in the fleet's order"
    return "takes clients that nobody announces, in the fleet's order"


def _route_sentence(
    snapshot: SteeringInput, covering: tuple[Prefix, ...], client_address: str
) -> str:
    if not covering:
        return f"No route covers {client_address}."
    longest = covering[0]
    sites = snapshot.partition.announcers[longest]
    names = " and ".join(snapshot.sites[site].site_id for site in sites)
    return f"{longest}, announced at {names}, is the longest route that covers {client_address}."


def _class_sentence(snapshot: SteeringInput, where: lookup.ClientPlace, family: int) -> str:
    sites = ", ".join(snapshot.sites[site].site_id for site in where.sites) or "no site"
    kind = "the default class" if where.class_index == DEFAULT_CLASS else "its class"
    return (
        f"So it is in class {where.class_index}, {kind}, ranked {sites}; every IPv{family} client "
        f"with the same first {where.scope} bits is."
    )


def _bucket_sentence(title_id: str | None, bucket: int) -> str:
    if title_id is None:
        return f"No title was asked for: this is the answer for bucket {bucket}."
    return f"titles/{title_id} is in bucket {bucket}."


def _spill_sentences(
    snapshot: SteeringInput, where: lookup.ClientPlace, named: int | None, bucket: int
) -> list[str]:
    passed = where.sites if named is None else where.sites[: where.sites.index(named)]
    return [
        f"{snapshot.sites[site].site_id} has nobody to name for bucket {bucket}: passed over."
        for site in passed
    ]


def _answer_sentence(
    snapshot: SteeringInput, named: int | None, response: steering_pb2.ExplainClientResponse
) -> str:
    if named is None:
        return "There is nobody to name."
    names = ", ".join(name.removeprefix("appliances/") for name in response.answer)
    return f"{snapshot.sites[named].site_id} is named: {names}."
