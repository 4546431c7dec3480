import ipaddress
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_control_plane.steering.routes import RouteRefused, key_of, parse_prefix


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'' is not a prefix, expected such as 10.1.0.0/16"),
        ("ten/8", "'ten/8' is not a prefix"),
        ("10.1.0.0", "'10.1.0.0' has no length, expected such as 10.1.0.0/24"),
        ("10.1.0.0/", "has length '', expected 0..24"),
        ("10.1.0.0/+8", "has length '+8', expected 0..24"),
        ("10.1.0.0/99999999999999999999", "expected 0..24"),
        ("10.1.2.128/25", "10.1.2.128/25 is longer than /24"),
        ("2001:db8::/64", "2001:db8::/64 is longer than /56"),
        ("10.1.2.3/16", "10.1.2.3/16 has bits set beyond its length; did you mean 10.1.0.0/16?"),
        ("2001:db8::1/32", "did you mean 2001:db8::/32?"),
        ("fe80::%1/10", "'fe80::%1/10' is not a prefix"),
        ("010.1.0.0/16", "is not a prefix"),
    ],
)
def test_a_route_that_cannot_be_followed_is_refused_by_name(text: str, reason: str) -> None:
    with pytest.raises(RouteRefused) as refused:
        parse_prefix(text)
    assert reason in str(refused.value)


@given(st.integers(0, 24), st.integers(0, 2**32 - 1))
def test_an_ipv4_prefix_reads_back_as_it_was_written(length: int, address: int) -> None:
    network = ipaddress.IPv4Network((address, length), strict=False)
    assert str(parse_prefix(str(network))) == str(network)


@given(st.integers(0, 56), st.integers(0, 2**128 - 1))
def test_an_ipv6_prefix_reads_back_as_it_was_written(length: int, address: int) -> None:
    network = ipaddress.IPv6Network((address, length), strict=False)
    assert str(parse_prefix(str(network))) == str(network)


@given(st.text(max_size=40))
def test_no_text_whatever_is_answered_with_anything_but_a_prefix_or_a_reason(text: str) -> None:
    with suppress(RouteRefused):
        assert parse_prefix(text).length <= 56


def test_an_ipv4_client_behind_an_ipv6_socket_is_the_ipv4_client_that_it_is() -> None:
    assert key_of(ipaddress.ip_address("::ffff:10.1.2.3")) == key_of(
        ipaddress.ip_address("10.1.2.3")
    )
