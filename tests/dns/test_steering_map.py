"""What a map must be before anything is answered from it."""

import ipaddress
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.steering.v1 import map_pb2
from sluice_dns.steering_map import MapRefused, load
from sluice_dns.testing.maps import MapOf

Spoil = Callable[[map_pb2.SteeringMap], None]


def _set(field: str, value: object) -> Spoil:
    return lambda m: setattr(m, field, value)


def _spoil_site(m: map_pb2.SteeringMap) -> None:
    m.sites[1].bucket_appliances = m.sites[1].bucket_appliances[:-2]


def _appliance_out_of_range(m: map_pb2.SteeringMap) -> None:
    m.sites[0].bucket_appliances = struct.pack("<H", 9) + m.sites[0].bucket_appliances[2:]


def _appliance_of_another_site(m: map_pb2.SteeringMap) -> None:
    m.sites[0].bucket_appliances = struct.pack("<H", 2) + m.sites[0].bucket_appliances[2:]


def _overlapping(m: map_pb2.SteeringMap) -> None:
    m.ipv4.scopes = bytes((m.ipv4.scopes[0] - 1,)) + m.ipv4.scopes[1:]


def _no_servers(m: map_pb2.SteeringMap) -> None:
    del m.name_servers[:]


def _two_sites_of_one_name(m: map_pb2.SteeringMap) -> None:
    m.sites[1].site = m.sites[0].site


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_set("revision", 0), "revision is 0"),
        (_set("zone", "V.sluice.test"), "lower case"),
        (_set("zone", "a" * 60 + ".sluice.test"), "at most 64"),
        (_set("bucket_count", 0), "bucket_count is 0, expected 1..10000"),
        (_set("ttl_seconds", 1 << 31), "ttl_seconds is 2147483648"),
        (_no_servers, "the number of name_servers is 0"),
        (lambda m: m.name_servers.add(host="ns", ipv4=b"abc"), "3 bytes, expected 4 or none"),
        (lambda m: m.appliances[0].MergeFrom(map_pb2.MapAppliance(ipv6=b"x")), "1 bytes"),
        (lambda m: m.appliances.add(site=7), "site is 7 of 2 sites"),
        (lambda m: m.classes.add(sites=[2]), "classes[3] names site 2 of 2 sites"),
        (_spoil_site, "4094 bytes, expected 4096"),
        (_appliance_out_of_range, "appliance 9 of 4"),
        (_appliance_of_another_site, "appliance 2 of site 1"),
        (_two_sites_of_one_name, "2 sites have 1 names"),
        (lambda m: m.ipv4.Clear(), "ipv4 has 0 bytes of starts"),
        (lambda m: m.ipv6.ClearField("scopes"), "0 of scopes"),
        (_overlapping, "ipv4 block 0 is 0x0/"),
        (lambda m: m.classes.pop(), "of 2 classes"),
    ],
)
def test_a_map_that_does_not_fit_is_refused_with_its_numbers(spoil: Spoil, said: str) -> None:
    message = MapOf().message()
    spoil(message)
    with pytest.raises(MapRefused) as refused:
        load(message.SerializeToString())
    assert said in str(refused.value)


@given(st.binary(max_size=400))
def test_no_bytes_make_loading_fail_in_another_way(payload: bytes) -> None:
    with pytest.raises(MapRefused):
        load(payload)


@given(st.data())
def test_a_map_with_spoilt_bytes_is_refused_or_still_whole(data: st.DataObject) -> None:
    payload = bytearray(MapOf(bucket_count=4).payload())
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] = data.draw(st.integers(0, 255))
    try:
        view = load(bytes(payload))
    except MapRefused:
        return
    for key in (0, 0x0A010203, 0xFFFFFFFF):
        for site in view.classes[view.ipv4.find(key)[0]]:
            for bucket in range(view.bucket_count):
                assert all(view.appliances[i] for i in view.sites[site].row(bucket))


_NETWORKS = st.builds(
    lambda address, length: str(ipaddress.ip_network((address, length), strict=False)),
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
)


@given(st.dictionaries(_NETWORKS, st.integers(0, 2), max_size=12), st.integers(0, 2**32 - 1))
def test_an_address_gets_the_class_of_its_longest_route(
    routes: dict[str, int], address: int
) -> None:
    view = load(MapOf(bucket_count=1, routes=routes).payload())
    place = ipaddress.ip_address(address)
    matching = [n for n in map(ipaddress.ip_network, routes) if place in n]
    longest = max(matching, key=lambda n: n.prefixlen, default=None)
    expected = 0 if longest is None else routes[str(longest)]
    found, scope = view.ipv4.find(address)
    assert found == expected
    assert longest is None or scope >= longest.prefixlen
