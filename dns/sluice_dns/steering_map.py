"""A steering map as the server reads it: checked once when it is loaded, then only looked up.

`load` refuses a map whose lengths, indexes or blocks do not fit, so that no later code has to ask. A
look-up is a bisection over a packed array (1.0 us over 324,000 blocks); loading a map of 429,000 blocks
takes 0.1 s.
"""

import sys
from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from google.protobuf.message import DecodeError

from sluice.steering.v1 import map_pb2
from sluice_dns import names
from sluice_dns.names import Labels
from sluice_dns.protocol import LABEL_BYTES_MAX

NOBODY = 0xFFFF
# Names are `b` and four digits.
BUCKET_COUNT_MAX = 10_000
# RFC 2181 8: a TTL has 31 bits.
TTL_S_MAX = 0x7FFFFFFF
# More addresses than players try are bytes for nothing, and an answer must stay below 512 bytes.
ADDRESSES_MAX = 4
# On the wire. With these the longest negative answer (a name of 255 bytes, the SOA, an OPT with a client
# subnet) has 509 bytes, and no answer of the fast path has to be cut for a client without EDNS.
ZONE_BYTES_MAX = 64
HOST_BYTES_MAX = 96
NAME_SERVERS_MAX = 8


class MapRefused(ValueError):
    """Not a map that can be served; the message says which number is wrong."""


@dataclass(frozen=True, slots=True)
class NameServer:
    host: Labels
    # Four and sixteen bytes, or empty.
    ipv4: bytes
    ipv6: bytes


@dataclass(frozen=True, slots=True)
class Appliance:
    name: str
    ipv4: bytes
    ipv6: bytes


@dataclass(frozen=True, slots=True)
class Site:
    # Its label under the zone.
    label: bytes
    width: int
    bucket_appliances: Sequence[int]

    def row(self, bucket: int) -> tuple[int, ...]:
        """Indexes of the appliances to name for `bucket`, best first."""
        row = self.bucket_appliances[bucket * self.width : (bucket + 1) * self.width]
        return tuple(index for index in row if index != NOBODY)


@dataclass(frozen=True, slots=True)
class Prefixes:
    """A whole address space cut into disjoint blocks."""

    starts: Sequence[int]
    classes: Sequence[int]
    scopes: bytes

    def find(self, key: int) -> tuple[int, int]:
        """Class and prefix length of the block that holds `key`."""
        block = bisect_right(self.starts, key) - 1
        return self.classes[block], self.scopes[block]


@dataclass(frozen=True, slots=True)
class MapView:
    """An immutable map, ready to be asked."""

    revision: int
    compile_time_s: int
    zone: Labels
    ttl_s: int
    negative_ttl_s: int
    static_ttl_s: int
    bucket_count: int
    name_servers: tuple[NameServer, ...]
    appliances: tuple[Appliance, ...]
    sites: tuple[Site, ...]
    site_by_label: Mapping[bytes, int]
    # Ranked sites of each class; the first class is the default.
    classes: tuple[tuple[int, ...], ...]
    # Keys of 32 bits, and the first 64 bits of IPv6 addresses.
    ipv4: Prefixes
    ipv6: Prefixes


def load(payload: bytes) -> MapView:
    """Reads a serialised SteeringMap. Raises MapRefused."""
    try:
        message = map_pb2.SteeringMap.FromString(payload)
    except DecodeError:
        raise MapRefused(f"{len(payload)} bytes are not a SteeringMap") from None
    if message.revision < 1:
        raise MapRefused(f"revision is {message.revision}, expected 1 or more")
    zone = _name("zone", message.zone, ZONE_BYTES_MAX)
    _between("bucket_count", message.bucket_count, 1, BUCKET_COUNT_MAX)
    for ttl in ("ttl_seconds", "negative_ttl_seconds", "static_ttl_seconds"):
        _between(ttl, getattr(message, ttl), 0, TTL_S_MAX)
    _between("the number of name_servers", len(message.name_servers), 1, NAME_SERVERS_MAX)
    classes = tuple(tuple(each.sites) for each in message.classes)
    _between("the number of classes", len(classes), 1, NOBODY)
    for index, ranked in enumerate(classes):
        if ranked and max(ranked) >= len(message.sites):
            raise MapRefused(
                f"classes[{index}] names site {max(ranked)} of {len(message.sites)} sites"
            )
    sites = _sites(message)
    return MapView(
        revision=message.revision,
        compile_time_s=message.compile_time.seconds,
        zone=zone,
        ttl_s=message.ttl_seconds,
        negative_ttl_s=message.negative_ttl_seconds,
        static_ttl_s=message.static_ttl_seconds,
        bucket_count=message.bucket_count,
        name_servers=tuple(
            NameServer(
                _name(f"name_servers[{i}].host", each.host, HOST_BYTES_MAX),
                *_addresses(each, f"name_servers[{i}]"),
            )
            for i, each in enumerate(message.name_servers)
        ),
        appliances=tuple(
            Appliance(each.appliance, *_addresses(each, f"appliances[{i}]"))
            for i, each in enumerate(message.appliances)
        ),
        sites=sites,
        site_by_label={site.label: index for index, site in enumerate(sites)},
        classes=classes,
        ipv4=_prefixes("ipv4", message.ipv4, "I", 32, len(classes)),
        ipv6=_prefixes("ipv6", message.ipv6, "Q", 64, len(classes)),
    )


def _sites(message: map_pb2.SteeringMap) -> tuple[Site, ...]:
    homes = [each.site for each in message.appliances]
    for index, home in enumerate(homes):
        if home >= len(message.sites):
            raise MapRefused(f"appliances[{index}].site is {home} of {len(message.sites)} sites")
    sites = []
    for index, each in enumerate(message.sites):
        label = each.site.removeprefix("sites/")
        labels = _name(f"sites[{index}].site", label, 1 + LABEL_BYTES_MAX + 1)
        if len(labels) != 1:
            raise MapRefused(f"sites[{index}].site is {each.site!r}, expected one label")
        expected = message.bucket_count * each.width * 2
        where = f"sites[{index}].bucket_appliances"
        if len(each.bucket_appliances) != expected:
            raise MapRefused(
                f"{where} has {len(each.bucket_appliances)} bytes, expected {expected}: "
                f"{message.bucket_count} buckets of {each.width} indexes of 2 bytes"
            )
        rows = _numbers("H", each.bucket_appliances)
        for appliance in set(rows) - {NOBODY}:
            if appliance >= len(homes):
                raise MapRefused(f"{where} names appliance {appliance} of {len(homes)} appliances")
            if homes[appliance] != index:
                raise MapRefused(f"{where} names appliance {appliance} of site {homes[appliance]}")
        sites.append(Site(labels[0], each.width, rows))
    if len({site.label for site in sites}) != len(sites):
        raise MapRefused(f"{len(sites)} sites have {len({s.label for s in sites})} names")
    return tuple(sites)


def _prefixes(
    name: str, table: map_pb2.PrefixTable, typecode: str, bits: int, class_count: int
) -> Prefixes:
    starts_bytes, count = len(table.starts), len(table.scopes)
    if starts_bytes != count * bits // 8 or len(table.classes) != count * 2 or not count:
        raise MapRefused(
            f"{name} has {starts_bytes} bytes of starts, {len(table.classes)} of classes and {count} "
            f"of scopes, expected {bits // 8}, 2 and 1 for each of at least one block"
        )
    starts, classes = _numbers(typecode, table.starts), _numbers("H", table.classes)
    if max(classes) >= class_count:
        raise MapRefused(f"{name} names class {max(classes)} of {class_count} classes")
    if max(table.scopes) > bits:
        raise MapRefused(f"{name} has a scope of {max(table.scopes)}, expected 0..{bits}")
    if starts[0] != 0:
        raise MapRefused(f"{name} starts at {starts[0]}, expected 0")
    sizes = [1 << (bits - scope) for scope in range(bits + 1)]
    ends = chain(islice(starts, 1, None), (1 << bits,))
    for index, (start, scope, end) in enumerate(zip(starts, table.scopes, ends, strict=True)):
        size = sizes[scope]
        if start + size != end or start & (size - 1):
            raise MapRefused(
                f"{name} block {index} is {start:#x}/{scope} and the next starts at {end:#x}"
            )
    return Prefixes(starts, classes, table.scopes)


def _numbers(typecode: str, packed: bytes) -> "array[int]":
    numbers = array(typecode)
    numbers.frombytes(packed)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _name(where: str, text: str, bytes_max: int) -> Labels:
    try:
        labels = names.from_text(text)
    except names.MalformedName as error:
        raise MapRefused(f"{where}: {error}") from None
    if (size := len(names.to_wire(labels))) > bytes_max:
        raise MapRefused(f"{where} has {size} bytes, expected at most {bytes_max}")
    return labels


def _addresses(
    each: map_pb2.MapNameServer | map_pb2.MapAppliance, where: str
) -> tuple[bytes, bytes]:
    if len(each.ipv4) not in (0, 4):
        raise MapRefused(f"{where}.ipv4 has {len(each.ipv4)} bytes, expected 4 or none")
    if len(each.ipv6) not in (0, 16):
        raise MapRefused(f"{where}.ipv6 has {len(each.ipv6)} bytes, expected 16 or none")
    return each.ipv4, each.ipv6


def _between(what: str, number: int, least: int, most: int) -> None:
    if not least <= number <= most:
        raise MapRefused(f"{what} is {number}, expected {least}..{most}")
