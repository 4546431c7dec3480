"""Steering maps and titles of a small fleet, as the control plane would send them."""

import ipaddress
import struct
from collections.abc import Mapping, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sluice.content.v1 import content_pb2
from sluice.steering.v1 import map_pb2
from sluice_runtime import signatures

ZONE = "v.sluice.test"
BUCKETS = 8
NOBODY = 65_535
PORT = 8081
# Site A's clients are 10.1.0.0/16 and 2001:db8:a::/48, site B's the next; all others are default.
DEFAULT, OF_A, OF_B = 0, 1, 2
APPLIANCES = ("a-1", "a-2", "b-1", "b-2")
ADDRESSES = ("127.0.10.1", "127.0.10.2", "127.0.20.1", "127.0.20.2")
TITLE_BUCKET = 3


def steering_map(
    revision: int = 1,
    *,
    rows: Mapping[str, Sequence[int]] | None = None,
    addresses: Sequence[str] = ADDRESSES,
    port: int = PORT,
) -> map_pb2.SteeringMap:
    """Two sites of two appliances. `rows` gives each site's indexes of appliances, for all buckets."""
    rows = {"site-a": (0, 1), "site-b": (2, 3)} if rows is None else rows
    message = map_pb2.SteeringMap(revision=revision, zone=ZONE, bucket_count=BUCKETS)
    message.compile_time.FromSeconds(1_700_000_000)
    for number, (name, address) in enumerate(zip(APPLIANCES, addresses, strict=True)):
        message.appliances.add(
            appliance=f"appliances/{name}",
            site=number // 2,
            ipv4=ipaddress.IPv4Address(address).packed,
            port=port,
        )
    for name, row in rows.items():
        packed = struct.pack(f"<{len(row)}H", *row) * BUCKETS
        message.sites.add(site=f"sites/{name}", width=len(row), bucket_appliances=packed)
    message.classes.add(sites=(0, 1), reason="default")
    message.classes.add(sites=(0, 1), reason="heard by site-a")
    message.classes.add(sites=(1, 0), reason="heard by site-b")
    _table(
        message.ipv4,
        "I",
        [(0, 0), (_v4("10.1.0.0"), OF_A), (_v4("10.2.0.0"), OF_B), (_v4("10.3.0.0"), 0)],
    )
    _table(
        message.ipv6,
        "Q",
        [
            (0, 0),
            (_v6("2001:db8:a::"), OF_A),
            (_v6("2001:db8:b::"), OF_B),
            (_v6("2001:db8:c::"), 0),
        ],
    )
    return message


def signed(message: map_pb2.SteeringMap, key: Ed25519PrivateKey) -> map_pb2.SignedMap:
    payload = message.SerializeToString()
    return map_pb2.SignedMap(
        payload=payload,
        signature=signatures.sign(key, "sluice.steering.v1.SteeringMap", payload),
        key_id=signatures.key_id(key.public_key()),
    )


def title(
    title_id: str = "big-buck-bunny", *, live: bool = True, folder: str = ""
) -> content_pb2.Title:
    folder = folder or f"{title_id}/v1"
    message = content_pb2.Title(
        name=f"titles/{title_id}",
        display_name=title_id.replace("-", " ").title(),
        version="v1",
        bucket=TITLE_BUCKET,
        state=content_pb2.TITLE_STATE_LIVE if live else content_pb2.TITLE_STATE_FILLING,
        attribution="(c) 2008, Blender Foundation / www.bigbuckbunny.org",
        hls_key=f"{folder}/master.m3u8",
        dash_key=f"{folder}/manifest.mpd",
        integrity_key=f"{folder}/integrity.json",
        etag="1",
    )
    message.duration.FromSeconds(596)
    message.create_time.FromSeconds(1_700_000_000)
    message.objects.add(key=f"{folder}/integrity.json", size_bytes=1_234, sha256=bytes(range(32)))
    message.renditions.add(
        rendition_id="h264-720p", codecs="avc1.64001f", width=1280, height=720, bitrate_kbps=2_500
    )
    return message


def _table(table: map_pb2.PrefixTable, code: str, blocks: list[tuple[int, int]]) -> None:
    table.starts = struct.pack(f"<{len(blocks)}{code}", *(start for start, _ in blocks))
    table.classes = struct.pack(f"<{len(blocks)}H", *(index for _, index in blocks))
    table.scopes = bytes(len(blocks))


def _v4(text: str) -> int:
    return int(ipaddress.IPv4Address(text))


def _v6(text: str) -> int:
    return int(ipaddress.IPv6Address(text)) >> 64
