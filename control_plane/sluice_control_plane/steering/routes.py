"""Routes as steering sees them: a prefix, and the site whose partner announced it.

A prefix longer than /24 (IPv4) or /56 (IPv6) is refused by name. DNS servers may not reveal more of a
client than that to their peers (RFC 7871 section 11.1), so that no answer could depend on it, and
networks do not accept such routes from one another either. Widening it instead would take clients that
its partner never announced.
"""

import ipaddress
from typing import NamedTuple

IPV4_LENGTH_MAX = 24
IPV6_LENGTH_MAX = 56
# How many bits of an address steering looks at.
KEY_BITS = {4: 32, 6: 64}
LENGTH_MAX = {4: IPV4_LENGTH_MAX, 6: IPV6_LENGTH_MAX}


class RouteRefused(ValueError):
    """The text is not a prefix that steering can follow. The message has what is expected."""


class Prefix(NamedTuple):
    """A CIDR block. `start` has KEY_BITS[family] bits: all of an IPv4 address, half of an IPv6 one."""

    family: int
    start: int
    length: int

    def __str__(self) -> str:
        if self.family == 4:
            return f"{ipaddress.IPv4Address(self.start)}/{self.length}"
        return f"{ipaddress.IPv6Address(self.start << 64)}/{self.length}"


class Route(NamedTuple):
    """What a partner announced at a site."""

    prefix: Prefix
    site_id: str


def parse_prefix(text: str) -> Prefix:
    """Reads CIDR text such as `10.1.0.0/16`. Raises RouteRefused."""
    address_text, slash, length_text = text.partition("/")
    try:
        address = ipaddress.ip_address(address_text)
    except ValueError:
        address = None
    if address is None or "%" in address_text:
        raise RouteRefused(
            f"'{text}' is not a prefix, expected such as 10.1.0.0/16 or 2001:db8:a::/48"
        ) from None
    family = address.version
    if not slash:
        raise RouteRefused(f"'{text}' has no length, expected such as {text}/{LENGTH_MAX[family]}")
    if not (length_text.isascii() and length_text.isdigit()) or len(length_text) > 3:
        raise RouteRefused(f"'{text}' has length '{length_text}', expected 0..{LENGTH_MAX[family]}")
    length = int(length_text)
    if length > LENGTH_MAX[family]:
        raise RouteRefused(
            f"{text} is longer than /{LENGTH_MAX[family]}, "
            f"the most that an answer to an IPv{family} client may depend on"
        )
    return _without_host_bits(text, address, length)


def key_of(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> tuple[int, int]:
    """The family and the bits of an address that steering looks at.

    An IPv4 address inside IPv6 (`::ffff:10.1.2.3`) is the IPv4 client that it stands for.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return 6, int(address) >> 64
        address = address.ipv4_mapped
    return 4, int(address)


def _without_host_bits(
    text: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address, length: int
) -> Prefix:
    bits = address.max_prefixlen
    number = int(address)
    kept = number >> (bits - length) << (bits - length)
    prefix = Prefix(address.version, kept >> (bits - KEY_BITS[address.version]), length)
    if kept != number:
        raise RouteRefused(f"{text} has bits set beyond its length; did you mean {prefix}?")
    return prefix
