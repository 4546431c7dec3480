import dataclasses
import ipaddress
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.steering.v1 import map_pb2
from sluice_control_plane.placement.rendezvous import bucket_of
from sluice_control_plane.steering import lookup
from sluice_control_plane.steering.compiler import (
    SteeringAppliance,
    SteeringInput,
    SteeringSite,
    compile_map,
)
from sluice_control_plane.steering.explain import AddressRefused, explain
from sluice_control_plane.steering.partition import partition
from sluice_control_plane.steering.routes import Route, key_of, parse_prefix

SITES = tuple(SteeringSite(name) for name in ("site-a", "site-b", "site-c"))
BOXES = tuple(
    SteeringAppliance(
        f"{site}-{n}", f"site-{site}", bytes((127, 0, i, n)), b"", port=8081, weight=100
    )
    for i, site in enumerate("abc")
    for n in (1, 2)
)
ANNOUNCED = [
    ("10.0.0.0/8", "site-c"),
    ("10.1.0.0/16", "site-a"),
    ("10.2.0.0/16", "site-b"),
    ("10.2.0.0/16", "site-a"),
    ("2001:db8:b::/48", "site-b"),
]
TITLE = "big-buck-bunny"
HOME = bucket_of(TITLE)


def snapshot(*appliances: SteeringAppliance) -> SteeringInput:
    routes = [Route(parse_prefix(prefix), site) for prefix, site in ANNOUNCED]
    return SteeringInput(
        zone="v.sluice.test",
        steered_ttl_s=20,
        negative_ttl_s=5,
        static_ttl_s=3600,
        name_servers=(),
        sites=SITES,
        appliances=appliances or BOXES,
        partition=partition(routes, [site.site_id for site in SITES]),
    )


def answer_in(compiled: map_pb2.SteeringMap, address: str, bucket: int) -> list[str]:
    where = lookup.place(compiled, *key_of(ipaddress.ip_address(address)))
    site = lookup.named_site(compiled, where, bucket)
    cells = () if site is None else lookup.row(compiled, site, bucket)
    return [compiled.appliances[cell].appliance for cell in cells]


ADDRESSES = st.sampled_from(
    ["10.1.2.3", "10.2.2.3", "10.200.0.1", "8.8.8.8", "2001:db8:b::1", "::1"]
) | st.ip_addresses().map(str)


# One example compiles 1,024 buckets: 10 ms.
@settings(max_examples=25)
@given(ADDRESSES, st.lists(st.sampled_from(["", "down", "lacks"]), min_size=6, max_size=6))
def test_an_explanation_never_disagrees_with_the_map(address: str, states: list[str]) -> None:
    boxes = [
        dataclasses.replace(
            each,
            withheld=state if state == "down" else "",
            excluded={HOME: "does not hold it"} if state == "lacks" else {},
        )
        for each, state in zip(BOXES, states, strict=True)
    ]
    given_input = snapshot(*boxes)
    compiled = compile_map(given_input, revision=9, now=0.0)
    said = explain(given_input, compiled, address, TITLE)
    where = lookup.place(compiled, *key_of(ipaddress.ip_address(address)))
    assert (said.class_index, said.scope, said.map_revision) == (where.class_index, where.scope, 9)
    assert [site.site for site in said.sites] == [compiled.sites[i].site for i in where.sites]
    assert list(said.answer) == answer_in(compiled, address, HOME)
    # The sentences beside the answer lead to it: the first site with anybody eligible, in its order.
    able = [[each.appliance for each in site.appliances if each.eligible] for site in said.sites]
    assert list(said.answer) == next((names for names in able if names), [])
    covering = given_input.partition.covering(*key_of(ipaddress.ip_address(address)))
    assert bool(said.matching_prefix) == bool(covering) == (said.class_index != 0)


def test_a_client_is_told_which_route_and_which_site_and_why() -> None:
    said = explain(snapshot(), compile_map(snapshot(), 1, 0.0), "10.2.9.9", TITLE)
    assert said.matching_prefix == "10.2.0.0/16"
    assert [(site.site, site.reason) for site in said.sites] == [
        ("sites/site-a", "announces 10.2.0.0/16, the longest route that covers the client"),
        ("sites/site-b", "announces 10.2.0.0/16, the longest route that covers the client"),
        ("sites/site-c", "announces 10.0.0.0/8, a shorter route that covers the client"),
    ]
    assert said.bucket == HOME
    assert said.reasons[0] == (
        "10.2.0.0/16, announced at site-a and site-b, is the longest route that covers 10.2.9.9."
    )
    assert said.reasons[-1].startswith("site-a is named: a-")


def test_a_box_that_is_passed_over_is_shown_with_its_reason() -> None:
    boxes = [dataclasses.replace(each, withheld="drained") for each in BOXES[:2]]
    given_input = snapshot(*boxes, *BOXES[2:])
    said = explain(given_input, compile_map(given_input, 1, 0.0), "10.1.2.3", TITLE)
    assert {(each.eligible, each.reason) for each in said.sites[0].appliances} == {
        (False, "drained")
    }
    assert f"site-a has nobody to name for bucket {HOME}: passed over." in said.reasons
    assert said.reasons[-1].startswith("site-c is named")


def test_without_a_title_the_answer_is_that_of_a_bucket_that_nobody_lacks() -> None:
    rng = random.Random(5)
    lacking = dict.fromkeys((0, 1, *rng.sample(range(1024), 50)), "does not hold it")
    boxes = [dataclasses.replace(each, excluded=lacking) for each in BOXES]
    given_input = snapshot(*boxes)
    said = explain(given_input, compile_map(given_input, 1, 0.0), "8.8.8.8")
    assert not said.HasField("bucket")
    assert len(said.answer) == 2
    assert said.reasons[0] == "No route covers 8.8.8.8."


def test_when_there_is_nobody_to_name_it_says_so() -> None:
    boxes = [dataclasses.replace(each, withheld="down") for each in BOXES]
    given_input = snapshot(*boxes)
    said = explain(given_input, compile_map(given_input, 1, 0.0), "10.1.2.3", TITLE)
    assert list(said.answer) == []
    assert said.reasons[-1] == "There is nobody to name."


@pytest.mark.parametrize("text", ["", "10.1.2", "10.1.2.3/32", "example.net"])
def test_what_is_not_an_address_is_refused_with_what_is_expected(text: str) -> None:
    with pytest.raises(AddressRefused, match="expected an IPv4 or IPv6 address"):
        explain(snapshot(), compile_map(snapshot(), 1, 0.0), text)
