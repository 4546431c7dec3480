"""A steering map as this program reads it: who is named for a client and a bucket.

An address is found in its family's prefix table by bisection (about a microsecond among 600,000
blocks); the block gives the class, the class the sites, a site's row of the bucket the appliances.
"""

import ipaddress
import sys
from array import array
from bisect import bisect_right
from dataclasses import dataclass
from typing import Literal

from google.protobuf.message import DecodeError

from sluice.steering.v1 import map_pb2

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

NOBODY = 65_535
BUCKETS_MAX = 65_536
_IPV6_KEY_SHIFT = 64


class MapMalformed(ValueError):
    """Bytes that are no map; the message says where."""


@dataclass(frozen=True, slots=True)
class Appliance:
    """One that may be named."""

    name: str
    ipv4: ipaddress.IPv4Address | None
    ipv6: ipaddress.IPv6Address | None
    port: int
    tls: bool


@dataclass(frozen=True, slots=True)
class Site:
    """A site and, for each bucket, `width` indexes of appliances, best first."""

    name: str
    width: int
    rows: "array[int]"

    @property
    def label(self) -> str:
        """Its DNS label."""
        return self.name.removeprefix("sites/")


@dataclass(frozen=True, slots=True)
class Prefixes:
    """A family's address space cut into blocks: where each starts, and its class."""

    starts: "array[int]"
    classes: "array[int]"

    def class_of(self, key: int) -> int:
        return self.classes[bisect_right(self.starts, key) - 1]


@dataclass(frozen=True, slots=True)
class SteeringView:
    """One map."""

    revision: int
    compiled_at: float
    zone: str
    bucket_count: int
    appliances: tuple[Appliance, ...]
    sites: tuple[Site, ...]
    # Indexes of sites, best first, of each class.
    classes: tuple[tuple[int, ...], ...]
    ipv4: Prefixes
    ipv6: Prefixes

    def class_of(self, client: IPAddress) -> int:
        """An IPv4 address in IPv6's clothes (`::ffff:10.1.2.3`) is the IPv4 address."""
        if isinstance(client, ipaddress.IPv6Address):
            if client.ipv4_mapped is None:
                return self.ipv6.class_of(int(client) >> _IPV6_KEY_SHIFT)
            client = client.ipv4_mapped
        return self.ipv4.class_of(int(client))

    def ranked_sites(self, class_index: int) -> tuple[Site, ...]:
        return tuple(self.sites[index] for index in self.classes[class_index])

    def named(self, site: Site, bucket: int) -> tuple[Appliance, ...]:
        """Whom the site names for the bucket, best first; empty for nobody."""
        row = site.rows[bucket * site.width : (bucket + 1) * site.width]
        return tuple(self.appliances[index] for index in row if index != NOBODY)


def read_map(payload: bytes) -> SteeringView:
    """Reads a serialised SteeringMap whose signature was verified. Raises MapMalformed."""
    try:
        message = map_pb2.SteeringMap.FromString(payload)
    except DecodeError:
        raise MapMalformed(f"{len(payload)} bytes that are no SteeringMap") from None
    if not message.zone:
        raise MapMalformed("zone is empty")
    if not 1 <= message.bucket_count <= BUCKETS_MAX:
        raise MapMalformed(f"bucket_count is {message.bucket_count}, expected 1..{BUCKETS_MAX}")
    return SteeringView(
        revision=message.revision,
        compiled_at=message.compile_time.seconds + message.compile_time.nanos / 1e9,
        zone=message.zone,
        bucket_count=message.bucket_count,
        appliances=tuple(_appliance(record) for record in message.appliances),
        sites=tuple(_site(record, message) for record in message.sites),
        classes=_classes(message),
        ipv4=_prefixes("ipv4", message.ipv4, "I", len(message.classes)),
        ipv6=_prefixes("ipv6", message.ipv6, "Q", len(message.classes)),
    )


def _appliance(record: map_pb2.MapAppliance) -> Appliance:
    if len(record.ipv4) not in (0, 4) or len(record.ipv6) not in (0, 16):
        raise MapMalformed(
            f"{record.appliance} has addresses of {len(record.ipv4)} and {len(record.ipv6)} bytes"
        )
    if not 1 <= record.port <= 65_535:
        raise MapMalformed(f"{record.appliance} has port {record.port}, expected 1..65535")
    return Appliance(
        name=record.appliance,
        ipv4=ipaddress.IPv4Address(record.ipv4) if record.ipv4 else None,
        ipv6=ipaddress.IPv6Address(record.ipv6) if record.ipv6 else None,
        port=record.port,
        tls=record.tls,
    )


def _site(record: map_pb2.MapSite, message: map_pb2.SteeringMap) -> Site:
    rows = _little_endian("H", record.bucket_appliances, f"{record.site} bucket_appliances")
    if len(rows) != message.bucket_count * record.width:
        raise MapMalformed(
            f"{record.site} has {len(rows)} entries for {message.bucket_count} buckets"
            f" of width {record.width}"
        )
    known = len(message.appliances)
    stranger = next((index for index in set(rows) if index != NOBODY and index >= known), None)
    if stranger is not None:
        raise MapMalformed(f"{record.site} names appliance {stranger} of {known}")
    return Site(record.site, record.width, rows)


def _classes(message: map_pb2.SteeringMap) -> tuple[tuple[int, ...], ...]:
    if not message.classes:
        raise MapMalformed("classes is empty, expected at least the default class")
    classes = tuple(tuple(record.sites) for record in message.classes)
    for number, sites in enumerate(classes):
        if any(site >= len(message.sites) for site in sites):
            raise MapMalformed(f"class {number} ranks sites {sites} of {len(message.sites)}")
    return classes


def _prefixes(
    family: str, table: map_pb2.PrefixTable, code: Literal["I", "Q"], class_count: int
) -> Prefixes:
    starts = _little_endian(code, table.starts, f"{family} starts")
    classes = _little_endian("H", table.classes, f"{family} classes")
    if not starts or starts[0] != 0:
        raise MapMalformed(f"{family} does not start at 0")
    if len(classes) != len(starts):
        raise MapMalformed(f"{family} has {len(starts)} blocks and {len(classes)} classes")
    if any(map(int.__ge__, starts, starts[1:])):
        raise MapMalformed(f"{family} blocks are not in order")
    if max(classes) >= class_count:
        raise MapMalformed(f"{family} names class {max(classes)} of {class_count}")
    return Prefixes(starts, classes)


def _little_endian(code: Literal["H", "I", "Q"], content: bytes, what: str) -> "array[int]":
    values: array[int] = array(code)
    if len(content) % values.itemsize:
        raise MapMalformed(
            f"{what} is {len(content)} bytes, expected a multiple of {values.itemsize}"
        )
    values.frombytes(content)
    if sys.byteorder == "big":
        values.byteswap()
    return values
