"""The fleet as it is now, compiled into the map that DNS servers and the playback service serve from.

Per site and bucket: the appliances that may be named, in the order in which placement ranks them, at
most ROW_WIDTH_MAX. Per client prefix: the class that `partition` found. Equal input gives equal bytes
but for revision and time, so that a map that says nothing new is not sent.

The ranking of 1,024 buckets costs about 4 ms per appliance. The partition is kept as long as routes and
sites are, so a change of health copies its blocks and does not cut them again.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sluice.steering.v1 import map_pb2
from sluice_control_plane.placement.rendezvous import BUCKET_COUNT, Member, rank
from sluice_control_plane.steering.partition import DEFAULT_CLASS, Blocks, Partition

# How many appliances an answer names at most: a client tries two, and an answer stays one small packet.
ROW_WIDTH_MAX = 4
NOBODY = 0xFFFF
# Indexes are 16 bits and the highest means nobody.
APPLIANCES_MAX = NOBODY


@dataclass(frozen=True, slots=True)
class NameServer:
    """A name server of the zone; addresses are 4 and 16 bytes, or empty."""

    host: str
    ipv4: bytes = b""
    ipv6: bytes = b""


@dataclass(frozen=True, slots=True)
class SteeringSite:
    """A site. The order of sites is the order in which they take spill."""

    site_id: str
    partner_id: str = ""


@dataclass(frozen=True, slots=True)
class SteeringAppliance:
    """An enrolled appliance, and why it may not be named where it may not."""

    appliance_id: str
    site_id: str
    ipv4: bytes
    ipv6: bytes
    port: int
    weight: int
    tls: bool = False
    # Why it is named for no bucket at all, such as `drained`; empty where it may be.
    withheld: str = ""
    # What is believed of one that may be named.
    standing: str = "up"
    # Buckets it is not named for, and why, such as `does not hold titles/sintel yet`.
    excluded: Mapping[int, str] = field(default_factory=dict)

    def why_not(self, bucket: int) -> str:
        """Why it may not be named for a bucket; empty where it may be."""
        if not self.withheld and not (self.ipv4 or self.ipv6):
            return "has no address"
        return self.withheld or self.excluded.get(bucket, "")

    @property
    def member(self) -> Member:
        return Member(self.appliance_id, self.weight)


@dataclass(frozen=True, slots=True)
class SteeringInput:
    """Everything a map is made of. `partition.site_ids` are the ids of `sites`, in their order."""

    zone: str
    steered_ttl_s: int
    negative_ttl_s: int
    static_ttl_s: int
    name_servers: tuple[NameServer, ...]
    sites: tuple[SteeringSite, ...]
    appliances: tuple[SteeringAppliance, ...]
    partition: Partition

    def __post_init__(self) -> None:
        site_ids = tuple(site.site_id for site in self.sites)
        assert site_ids == self.partition.site_ids, "the partition was made for other sites"
        ids = {appliance.appliance_id for appliance in self.appliances}
        assert len(ids) == len(self.appliances), "an appliance is there twice"
        assert len(ids) <= APPLIANCES_MAX, f"{len(ids)} appliances, at most {APPLIANCES_MAX}"

    def members_of(self, site_id: str) -> tuple[SteeringAppliance, ...]:
        """All appliances of a site, those that may not be named included."""
        return tuple(each for each in self.appliances if each.site_id == site_id)


def compile_map(snapshot: SteeringInput, revision: int, now: float) -> map_pb2.SteeringMap:
    """The map. `now` is in seconds since 1970."""
    named = sorted(
        (each for each in snapshot.appliances if not each.withheld and (each.ipv4 or each.ipv6)),
        key=lambda each: each.appliance_id,
    )
    index_of = {each.appliance_id: index for index, each in enumerate(named)}
    site_index = {site.site_id: index for index, site in enumerate(snapshot.sites)}
    compiled = map_pb2.SteeringMap(
        revision=revision,
        zone=snapshot.zone,
        ttl_seconds=snapshot.steered_ttl_s,
        negative_ttl_seconds=snapshot.negative_ttl_s,
        static_ttl_seconds=snapshot.static_ttl_s,
        bucket_count=BUCKET_COUNT,
        name_servers=(
            map_pb2.MapNameServer(host=each.host, ipv4=each.ipv4, ipv6=each.ipv6)
            for each in snapshot.name_servers
        ),
        appliances=(_appliance(each, site_index[each.site_id]) for each in named),
        sites=(_site(site, snapshot.members_of(site.site_id), index_of) for site in snapshot.sites),
        classes=_classes(snapshot),
        ipv4=_prefix_table(snapshot.partition.blocks[4], "I"),
        ipv6=_prefix_table(snapshot.partition.blocks[6], "Q"),
    )
    compiled.compile_time.FromMicroseconds(round(now * 1e6))
    return compiled


def same_answers(one: map_pb2.SteeringMap, other: map_pb2.SteeringMap) -> bool:
    """Whether two maps differ in nothing but revision and time."""
    return _undated(one) == _undated(other)


def _undated(steering_map: map_pb2.SteeringMap) -> map_pb2.SteeringMap:
    undated = map_pb2.SteeringMap()
    undated.CopyFrom(steering_map)
    undated.ClearField("revision")
    undated.ClearField("compile_time")
    return undated


def _appliance(appliance: SteeringAppliance, site: int) -> map_pb2.MapAppliance:
    return map_pb2.MapAppliance(
        appliance=f"appliances/{appliance.appliance_id}",
        site=site,
        ipv4=appliance.ipv4,
        ipv6=appliance.ipv6,
        port=appliance.port,
        tls=appliance.tls,
    )


def _site(
    site: SteeringSite, appliances: Sequence[SteeringAppliance], index_of: Mapping[str, int]
) -> map_pb2.MapSite:
    rows = [_row(bucket, appliances, index_of) for bucket in range(BUCKET_COUNT)]
    # A site without anybody keeps one column, so that its rows say so.
    width = max(1, *(len(row) for row in rows))
    cells = [cell for row in rows for cell in (*row, *[NOBODY] * (width - len(row)))]
    return map_pb2.MapSite(
        site=f"sites/{site.site_id}",
        width=width,
        bucket_appliances=struct.pack(f"<{len(cells)}H", *cells),
    )


def _row(
    bucket: int, appliances: Sequence[SteeringAppliance], index_of: Mapping[str, int]
) -> list[int]:
    eligible = [each.member for each in appliances if not each.why_not(bucket)]
    return [index_of[appliance_id] for appliance_id in rank(bucket, eligible)[:ROW_WIDTH_MAX]]


def _classes(snapshot: SteeringInput) -> list[map_pb2.MapClass]:
    partition = snapshot.partition
    return [
        map_pb2.MapClass(sites=partition.ranking(index), reason=_class_reason(partition, index))
        for index in range(len(partition.classes))
    ]


def _class_reason(partition: Partition, class_index: int) -> str:
    if class_index == DEFAULT_CLASS:
        return "no route covers the client: all sites, in the fleet's order"
    announced = [partition.site_ids[index] for index in partition.classes[class_index]]
    return f"announced by {', then '.join(announced)}; every other site is spill"


def _prefix_table(blocks: Blocks, start_format: str) -> map_pb2.PrefixTable:
    count = len(blocks)
    return map_pb2.PrefixTable(
        starts=struct.pack(f"<{count}{start_format}", *blocks.starts),
        classes=struct.pack(f"<{count}H", *blocks.classes),
        scopes=bytes(blocks.lengths),
    )
