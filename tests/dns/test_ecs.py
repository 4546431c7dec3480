"""RFC 7871, sentence by sentence."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice_dns import ecs
from sluice_dns.steering_map import MapView, load
from sluice_dns.testing.maps import MapOf


def option(address: str, source: int, *, scope: int = 0) -> bytes:
    packed = ipaddress.ip_address(address).packed
    family = 1 if len(packed) == 4 else 2
    return bytes((0, family, source, scope)) + packed[: (source + 7) // 8]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\0\1\x18",
        option("10.1.2.0", 24) + b"\0",
        option("10.1.2.0", 24)[:-1],
        option("10.1.2.0", 24, scope=24),
        option("10.1.2.1", 31),
        b"\0\1\x21\0\x0a\1\2\0\0",
        b"\0\2\x81\0" + bytes(17),
        b"\0\3\x00\0",
        b"\1\1\x18\0\x0a\1\2",
        b"\0\0\x08\0\x0a",
    ],
)
def test_a_wrong_option_is_malformed(payload: bytes) -> None:
    with pytest.raises(ecs.MalformedSubnet):
        ecs.read(payload)


@given(st.binary(max_size=24))
def test_any_bytes_are_an_option_or_malformed(payload: bytes) -> None:
    try:
        subnet = ecs.read(payload)
    except ecs.MalformedSubnet:
        return
    assert ecs.echo(payload, 9)[:3] == payload[:3]
    assert ecs.echo(payload, 9)[4:] == payload[4:]
    assert subnet.source <= 128


def test_the_scope_is_the_blocks_length(view: MapView) -> None:
    assert ecs.locate(view, ecs.read(option("10.1.2.0", 24)), b"\x7f\0\0\1") == (1, 16)
    assert ecs.locate(view, ecs.read(option("2001:db8:b::", 56)), b"\x7f\0\0\1") == (2, 48)


def test_a_subnet_of_no_bits_is_steered_by_the_resolver_with_scope_0(view: MapView) -> None:
    for payload in (option("0.0.0.0", 0), option("::", 0), b"\0\0\0\0"):
        assert ecs.locate(view, ecs.read(payload), bytes((10, 2, 0, 1))) == (2, 0)


# Two networks of 24 bits, each with a route finer than the cap.
_ADDRESSES = st.integers(0x0A010200, 0x0A0103FF)


@settings(max_examples=500)
@given(_ADDRESSES, st.integers(22, 32), _ADDRESSES, st.integers(22, 32))
def test_two_clients_in_one_scope_have_one_answer_in_any_order(
    one: int, one_bits: int, other: int, other_bits: int
) -> None:
    """RFC 7871 7.2.1: scopes MUST NOT overlap. A resolver that keeps the first answer for its scope must
    be right about the second client, whatever routes finer than the cap there are."""
    routes = {"10.1.0.0/16": 1, "10.1.2.0/23": 2, "10.1.2.64/26": 1, "10.1.3.128/25": 0}
    view = _loaded(tuple(routes.items()))
    first = ecs.Subnet(ecs.IPV4, one_bits, one >> (32 - one_bits) << (32 - one_bits))
    second = ecs.Subnet(ecs.IPV4, other_bits, other >> (32 - other_bits) << (32 - other_bits))
    place, scope = ecs.locate_subnet(view, first)
    shift = 32 - min(scope, one_bits)
    if scope <= one_bits and first.key >> shift == second.key >> shift and other_bits >= scope:
        assert ecs.locate_subnet(view, second) == (place, scope)
    assert scope <= ecs.IPV4_SCOPE_MAX


_VIEWS: dict[tuple[tuple[str, int], ...], MapView] = {}


def _loaded(routes: tuple[tuple[str, int], ...]) -> MapView:
    if routes not in _VIEWS:
        _VIEWS[routes] = load(MapOf(bucket_count=1, routes=dict(routes)).payload())
    return _VIEWS[routes]
