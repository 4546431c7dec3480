import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice_control_plane.placement.rendezvous import BUCKET_COUNT, Member, rank
from sluice_control_plane.steering.compiler import (
    ROW_WIDTH_MAX,
    NameServer,
    SteeringAppliance,
    SteeringInput,
    SteeringSite,
    compile_map,
    same_answers,
)
from sluice_control_plane.steering.lookup import row
from sluice_control_plane.steering.partition import partition
from sluice_control_plane.steering.routes import Route, parse_prefix

SITES = (SteeringSite("site-a", "partner-a"), SteeringSite("site-b", "partner-b"))


def box(name: str, site: str, number: int) -> SteeringAppliance:
    return SteeringAppliance(
        name, site, ipv4=bytes((127, 0, number, 1)), ipv6=b"", port=8081, weight=100
    )


BOXES = (*(box(f"a-{n}", "site-a", n) for n in range(6)), box("b-1", "site-b", 20))


def snapshot(*appliances: SteeringAppliance) -> SteeringInput:
    announced = [Route(parse_prefix("10.1.0.0/16"), "site-a")]
    return SteeringInput(
        zone="v.sluice.test",
        steered_ttl_s=20,
        negative_ttl_s=5,
        static_ttl_s=3600,
        name_servers=(NameServer("ns1.v.sluice.test", b"\x7f\0\0\1"),),
        sites=SITES,
        appliances=appliances or BOXES,
        partition=partition(announced, [site.site_id for site in SITES]),
    )


def test_clients_are_sent_to_the_boxes_in_the_order_in_which_titles_are_placed() -> None:
    compiled = compile_map(snapshot(), revision=7, now=1.5)
    members = [Member(each.appliance_id, each.weight) for each in BOXES[:6]]
    for bucket in (0, 173, BUCKET_COUNT - 1):
        named = [compiled.appliances[index].appliance for index in row(compiled, 0, bucket)]
        assert named == [f"appliances/{name}" for name in rank(bucket, members)[:ROW_WIDTH_MAX]]


# One example compiles 1,024 buckets: 10 ms.
@settings(max_examples=25)
@given(st.lists(st.tuples(st.booleans(), st.frozensets(st.integers(0, 9))), min_size=7, max_size=7))
def test_an_appliance_that_may_not_be_named_is_named_nowhere(
    states: list[tuple[bool, frozenset[int]]],
) -> None:
    boxes = [
        dataclasses.replace(
            each, withheld="drained" if drained else "", excluded=dict.fromkeys(lacks, "lacks it")
        )
        for each, (drained, lacks) in zip(BOXES, states, strict=True)
    ]
    compiled = compile_map(snapshot(*boxes), revision=1, now=0.0)
    by_name = {f"appliances/{each.appliance_id}": each for each in boxes}
    for site in range(len(SITES)):
        for bucket in range(12):
            cells = row(compiled, site, bucket)
            named = [by_name[compiled.appliances[cell].appliance] for cell in cells]
            able = [
                each
                for each in boxes
                if each.site_id == SITES[site].site_id and not each.why_not(bucket)
            ]
            assert all(each in able for each in named)
            assert len(named) == min(ROW_WIDTH_MAX, len(able))


def test_a_map_that_says_nothing_new_is_seen_as_unchanged() -> None:
    one = compile_map(snapshot(), revision=7, now=100.0)
    other = compile_map(snapshot(), revision=8, now=200.25)
    assert same_answers(one, other)
    assert other.compile_time.ToMilliseconds() == 200_250
    other.revision, other.compile_time.seconds, other.compile_time.nanos = 7, 100, 0
    assert one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)


def test_a_box_that_goes_down_makes_a_different_map() -> None:
    down = dataclasses.replace(BOXES[0], withheld="down")
    before = compile_map(snapshot(), revision=1, now=0.0)
    assert not same_answers(before, compile_map(snapshot(down, *BOXES[1:]), 2, 0.0))


def test_a_site_with_nobody_to_name_has_rows_that_say_nobody() -> None:
    compiled = compile_map(snapshot(*BOXES[:6]), revision=1, now=0.0)
    assert compiled.sites[1].width == 1
    assert compiled.sites[1].bucket_appliances == b"\xff\xff" * BUCKET_COUNT


def test_a_box_without_an_address_is_not_named_and_said_why() -> None:
    nowhere = dataclasses.replace(BOXES[0], ipv4=b"")
    compiled = compile_map(snapshot(nowhere, *BOXES[1:]), revision=1, now=0.0)
    assert "appliances/a-0" not in [each.appliance for each in compiled.appliances]
    assert nowhere.why_not(3) == "has no address"


def test_a_partition_of_another_fleet_is_never_compiled_in() -> None:
    with pytest.raises(AssertionError, match="made for other sites"):
        dataclasses.replace(snapshot(), sites=SITES[:1])
