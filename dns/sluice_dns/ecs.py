"""EDNS Client Subnet (RFC 7871): whose place counts, and how much of the answer depended on it."""

from typing import NamedTuple

from sluice_dns.steering_map import MapView

IPV4 = 1
IPV6 = 2

# RFC 7871 11.1: finer answers than these would fill resolvers' caches. The address is cut to the
# cap before it is looked up, so that everyone within one scope has one answer (7.2.1: scopes MUST NOT
# overlap); a route finer than the cap is followed only for a resolver that asks for itself.
IPV4_SCOPE_MAX = 24
IPV6_SCOPE_MAX = 56

_IPV4_MASK = 0xFFFFFFFF << (32 - IPV4_SCOPE_MAX) & 0xFFFFFFFF
_IPV6_MASK = 0xFFFFFFFFFFFFFFFF << (64 - IPV6_SCOPE_MAX) & 0xFFFFFFFFFFFFFFFF
_BITS = {0: 0, IPV4: 32, IPV6: 128}


class MalformedSubnet(ValueError):
    """RFC 7871 7.1.2 and 7.2.1: answered with FORMERR."""


class Subnet(NamedTuple):
    """The option of a query."""

    family: int
    # SOURCE PREFIX-LENGTH: how many bits the resolver gave away.
    source: int
    # The address as the prefix tables count: 32 bits, or the first 64 of IPv6.
    key: int


def read(option: bytes) -> Subnet:
    """The payload of the option. Raises MalformedSubnet."""
    if len(option) < 4:
        raise MalformedSubnet(f"{len(option)} bytes, expected 4 or more")
    family, source, scope = option[1], option[2], option[3]
    # Family 0 with nothing after it is how some clients say "nothing about me" (dig +subnet=0).
    bits = _BITS.get(family)
    if option[0] or bits is None:
        raise MalformedSubnet(f"family {option[0] << 8 | family}, expected 1 or 2")
    if source > bits or scope:
        raise MalformedSubnet(f"family {family} with source {source} and scope {scope}")
    if len(option) != 4 + (source + 7) // 8:
        raise MalformedSubnet(f"{len(option) - 4} bytes of address for source {source}")
    if source & 7 and option[-1] & (0xFF >> (source & 7)):
        raise MalformedSubnet(f"address bits beyond source {source}")
    if family == IPV6:
        return Subnet(family, source, int.from_bytes(option[4:12].ljust(8, b"\0")))
    return Subnet(family, source, int.from_bytes(option[4:]) << (64 - 8 * len(option)))


def echo(option: bytes, scope: int) -> bytes:
    """The payload of the answer's option: FAMILY, SOURCE and ADDRESS exactly as they came."""
    return option[:3] + bytes((scope,)) + option[4:]


def locate_subnet(view: MapView, subnet: Subnet) -> tuple[int, int]:
    """Class and scope for a client subnet that says something (source above 0)."""
    if subnet.family == IPV4:
        place, scope = view.ipv4.find(subnet.key & _IPV4_MASK)
        return place, min(scope, IPV4_SCOPE_MAX)
    place, scope = view.ipv6.find(subnet.key & _IPV6_MASK)
    return place, min(scope, IPV6_SCOPE_MAX)


def locate_address(view: MapView, address: bytes) -> int:
    """Class of a resolver that asks without a client subnet: four or sixteen bytes."""
    if len(address) == 4:
        return view.ipv4.find(int.from_bytes(address))[0]
    return view.ipv6.find(int.from_bytes(address[:8]))[0]


def locate(view: MapView, subnet: Subnet | None, address: bytes) -> tuple[int, int]:
    """Class and scope of whoever asks. A subnet of 0 bits says nothing and gets scope 0 (7.1.2)."""
    if subnet is None or subnet.source == 0:
        return locate_address(view, address), 0
    return locate_subnet(view, subnet)
