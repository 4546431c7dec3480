"""Steering maps for tests, built field by field."""

import ipaddress
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from sluice.steering.v1 import map_pb2

ZONE = "v.sluice.test"
BUCKETS = 1024
NOBODY = 65535


@dataclass
class MapOf:
    """Two sites of two appliances; 10.1/16 prefers the first, 10.2/16 the second."""

    revision: int = 1
    zone: str = ZONE
    bucket_count: int = BUCKETS
    # Per site: (id, IPv4 addresses, IPv6 addresses).
    sites: Sequence[tuple[str, Sequence[str], Sequence[str]]] = (
        ("site-a", ("127.0.10.1", "127.0.10.2"), ("2001:db8:a::1", "2001:db8:a::2")),
        ("site-b", ("127.0.20.1", "127.0.20.2"), ()),
    )
    classes: Sequence[Sequence[int]] = ((0, 1), (0, 1), (1, 0))
    routes: Mapping[str, int] = field(
        default_factory=lambda: {
            "10.1.0.0/16": 1,
            "10.2.0.0/16": 2,
            "2001:db8:a::/48": 1,
            "2001:db8:b::/48": 2,
        }
    )
    # (site, bucket) with nobody.
    empty: Sequence[tuple[int, int]] = ()
    name_servers: Sequence[tuple[str, str, str]] = (
        (f"ns1.{ZONE}", "127.0.0.1", "::1"),
        ("ns2.elsewhere.test", "", ""),
    )
    ttl_s: int = 30

    def message(self) -> map_pb2.SteeringMap:
        made = map_pb2.SteeringMap(
            revision=self.revision,
            compile_time=Timestamp(seconds=1_700_000_000),
            zone=self.zone,
            ttl_seconds=self.ttl_s,
            negative_ttl_seconds=5,
            static_ttl_seconds=3600,
            bucket_count=self.bucket_count,
            name_servers=[
                map_pb2.MapNameServer(host=host, ipv4=_packed(v4), ipv6=_packed(v6))
                for host, v4, v6 in self.name_servers
            ],
            classes=[map_pb2.MapClass(sites=each) for each in self.classes],
            ipv4=prefix_table(self.routes, 4),
            ipv6=prefix_table(self.routes, 6),
        )
        for index, (site, v4, v6) in enumerate(self.sites):
            first = len(made.appliances)
            for number, address in enumerate(v4):
                made.appliances.append(
                    map_pb2.MapAppliance(
                        appliance=f"appliances/{site}-{number}",
                        site=index,
                        ipv4=_packed(address),
                        ipv6=_packed(v6[number]) if number < len(v6) else b"",
                        port=8081,
                    )
                )
            rows = [self._row(index, bucket, first, len(v4)) for bucket in range(self.bucket_count)]
            packed = b"".join(struct.pack(f"<{len(row)}H", *row) for row in rows)
            made.sites.append(
                map_pb2.MapSite(site=f"sites/{site}", width=len(v4), bucket_appliances=packed)
            )
        return made

    def _row(self, site: int, bucket: int, first: int, count: int) -> list[int]:
        if (site, bucket) in self.empty:
            return [NOBODY] * count
        return [first + (bucket + step) % count for step in range(count)]

    def payload(self) -> bytes:
        return self.message().SerializeToString()

    def signed(self) -> bytes:
        return map_pb2.SignedMap(payload=self.payload()).SerializeToString()


def prefix_table(routes: Mapping[str, int], version: int) -> map_pb2.PrefixTable:
    """Halves the space until each block has one class: small tables, obviously disjoint."""
    bits = 32 if version == 4 else 64
    parsed = [(ipaddress.ip_network(text), place) for text, place in routes.items()]
    blocks = list(
        _blocks(
            _Cut(0, 0, 0),
            bits,
            [
                _Cut(
                    int(network.network_address) >> (network.max_prefixlen - bits),
                    network.prefixlen,
                    place,
                )
                for network, place in parsed
                if network.version == version
            ],
        )
    )
    kind = "I" if version == 4 else "Q"
    return map_pb2.PrefixTable(
        starts=b"".join(struct.pack(f"<{kind}", block.start) for block in blocks),
        classes=b"".join(struct.pack("<H", block.place) for block in blocks),
        scopes=bytes(block.length for block in blocks),
    )


class _Cut(NamedTuple):
    start: int
    length: int
    place: int


def _blocks(whole: _Cut, bits: int, routes: Sequence[_Cut]) -> Iterator[_Cut]:
    shift = bits - whole.length
    inside = [
        each
        for each in routes
        if each.length >= whole.length and each.start >> shift == whole.start >> shift
    ]
    here = next((each.place for each in inside if each.length == whole.length), whole.place)
    if all(each.length == whole.length for each in inside):
        yield _Cut(whole.start, whole.length, here)
        return
    for half in (whole.start, whole.start | 1 << (shift - 1)):
        yield from _blocks(_Cut(half, whole.length + 1, here), bits, inside)


def _packed(text: str) -> bytes:
    return ipaddress.ip_address(text).packed if text else b""
