"""Who is named, decided over plain values."""

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services import maps

from sluice.steering.v1 import map_pb2
from sluice_services.playback.client import viewer
from sluice_services.playback.decide import PATHWAYS_MAX, NobodyToName, Pathway, decide
from sluice_services.playback.steering_map import MapMalformed, read_map

VIEW = read_map(maps.steering_map().SerializeToString())
ADDRESSES = st.ip_addresses()
ROWS = st.lists(st.sampled_from([0, 1, 2, 3, maps.NOBODY]), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("client", "class_index"),
    [
        ("10.0.255.255", maps.DEFAULT),
        ("10.1.0.0", maps.OF_A),
        ("10.1.255.255", maps.OF_A),
        ("10.2.0.0", maps.OF_B),
        ("255.255.255.255", maps.DEFAULT),
        ("::", maps.DEFAULT),
        ("2001:db8:a:ffff:ffff:ffff:ffff:ffff", maps.OF_A),
        ("2001:db8:b::", maps.OF_B),
        ("::ffff:10.2.1.1", maps.OF_B),
    ],
)
def test_an_address_is_in_the_class_of_its_block(client: str, class_index: int) -> None:
    assert VIEW.class_of(ipaddress.ip_address(client)) == class_index


@given(
    client=ADDRESSES, a=ROWS, b=ROWS, bucket=st.integers(0, maps.BUCKETS - 1), resolve=st.booleans()
)
def test_whoever_asks_is_named_only_those_whom_the_map_names_in_its_order(
    client: ipaddress.IPv4Address | ipaddress.IPv6Address,
    a: list[int],
    b: list[int],
    bucket: int,
    resolve: bool,
) -> None:
    view = read_map(maps.steering_map(rows={"site-a": a, "site-b": b}).SerializeToString())
    ranked = view.ranked_sites(view.class_of(client))
    expected = [one.name for site in ranked for one in view.named(site, bucket)]
    try:
        decision = decide(view, client, bucket, resolve=resolve)
    except NobodyToName:
        assert expected == []
        return
    ways = decision.pathways
    assert [way.rank for way in ways] == list(range(1, len(ways) + 1))
    if resolve:
        assert [way.appliance for way in ways] == expected[:PATHWAYS_MAX]
    else:
        assert ways[0].host == f"b{bucket:04d}.{maps.ZONE}"
        assert [way.site for way in ways[1:]] == [
            site.name for site in ranked if view.named(site, bucket)
        ]


def test_a_site_without_anybody_is_passed_over() -> None:
    rows = {"site-a": (maps.NOBODY,), "site-b": (3, maps.NOBODY)}
    view = read_map(maps.steering_map(rows=rows).SerializeToString())

    decision = decide(view, ipaddress.ip_address("10.1.2.3"), 0, resolve=True)

    assert [way.appliance for way in decision.pathways] == ["appliances/b-2"]


def test_a_bucket_that_the_map_does_not_know_names_nobody() -> None:
    with pytest.raises(NobodyToName, match="bucket 8"):
        decide(VIEW, ipaddress.ip_address("10.1.2.3"), maps.BUCKETS, resolve=True)


def test_an_ipv6_address_stands_in_brackets_and_tls_makes_https() -> None:
    way = Pathway("a-1", 1, None, None, "2001:db8::1", 443, tls=True)

    assert way.url("t/v/f.mp4") == "https://[2001:db8::1]:443/t/v/f.mp4"


def test_a_viewer_that_a_stranger_names_is_ignored_and_a_proxys_is_believed() -> None:
    trusted = [ipaddress.ip_network("127.0.0.0/8")]
    named = ipaddress.ip_address("10.2.0.1")
    stranger = ipaddress.ip_address("192.0.2.1")

    assert viewer(stranger, named, trusted).address == stranger
    assert viewer(stranger, named, trusted).ignored
    assert viewer(ipaddress.ip_address("::ffff:127.0.0.1"), named, trusted).address == named
    assert not viewer(stranger, stranger, trusted).ignored


def _broken(change: str) -> bytes:
    message = maps.steering_map()
    match change:
        case "not a proto":
            return b"\xff\xff\xff"
        case "no zone":
            message.zone = ""
        case "no classes":
            message.ClearField("classes")
        case "no buckets":
            message.bucket_count = 0
        case "blocks out of order":
            message.ipv4.starts = struct.pack("<4I", 0, 9, 5, 20)
        case "a start that is not 0":
            message.ipv6.starts = struct.pack("<4Q", 1, 2, 3, 4)
        case "a class too many":
            message.ipv4.classes = struct.pack("<4H", 0, 1, 3, 0)
        case "half a number":
            message.ipv4.starts += b"\0"
        case "a site that is not there":
            message.classes[0].sites.append(2)
        case "an appliance that is not there":
            message.sites[0].bucket_appliances = struct.pack("<H", 4) * 2 * maps.BUCKETS
        case "a row too few":
            message.sites[0].bucket_appliances = message.sites[0].bucket_appliances[:-4]
        case "an address of five bytes":
            message.appliances[0].ipv4 = bytes(5)
        case "port 0":
            message.appliances[0].port = 0
    return message.SerializeToString()


@pytest.mark.parametrize(
    "change",
    [
        "not a proto",
        "no zone",
        "no classes",
        "no buckets",
        "blocks out of order",
        "a start that is not 0",
        "a class too many",
        "half a number",
        "a site that is not there",
        "an appliance that is not there",
        "a row too few",
        "an address of five bytes",
        "port 0",
    ],
)
def test_a_map_that_could_mislead_is_refused_whole(change: str) -> None:
    with pytest.raises(MapMalformed):
        read_map(_broken(change))


@given(st.binary(max_size=400))
def test_no_bytes_make_reading_a_map_fail_in_another_way(payload: bytes) -> None:
    try:
        read_map(payload)
    except MapMalformed:
        pass
    else:
        assert map_pb2.SteeringMap.FromString(payload).zone
