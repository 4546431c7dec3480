"""Reading a compiled map the way a DNS server does: an address, then a bucket."""

import struct
from bisect import bisect_right
from dataclasses import dataclass

from sluice.steering.v1 import map_pb2
from sluice_control_plane.steering.compiler import NOBODY


@dataclass(frozen=True, slots=True)
class ClientPlace:
    """Where a client stands in a map."""

    class_index: int
    # How many bits of the address the answer depends on.
    scope: int
    # Indexes of sites, best first.
    sites: tuple[int, ...]


def place(steering_map: map_pb2.SteeringMap, family: int, key: int) -> ClientPlace:
    """The place of an address; `key` is all of an IPv4 address or the first half of an IPv6 one.

    Unpacks a whole table: for people's questions, not for queries.
    """
    table, start_format = (steering_map.ipv4, "I") if family == 4 else (steering_map.ipv6, "Q")
    starts = struct.unpack(f"<{len(table.scopes)}{start_format}", table.starts)
    block = bisect_right(starts, key) - 1
    (class_index,) = struct.unpack_from("<H", table.classes, block * 2)
    sites = tuple(steering_map.classes[class_index].sites)
    return ClientPlace(class_index, table.scopes[block], sites)


def row(steering_map: map_pb2.SteeringMap, site: int, bucket: int) -> tuple[int, ...]:
    """The appliances that a site names for a bucket, by index, best first."""
    rows = steering_map.sites[site]
    cells = struct.unpack_from(f"<{rows.width}H", rows.bucket_appliances, bucket * rows.width * 2)
    return tuple(cell for cell in cells if cell != NOBODY)


def named_site(steering_map: map_pb2.SteeringMap, where: ClientPlace, bucket: int) -> int | None:
    """The site whose appliances a client is sent to: the first of its ranking that has any."""
    return next((site for site in where.sites if row(steering_map, site, bucket)), None)
