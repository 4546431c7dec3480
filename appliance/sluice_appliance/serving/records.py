"""What an access record says: one line of JSON for a request, made from what its connection knows.

A record is made only for a request that is sampled: some 10 us, and some 40 more where the player tells of
itself (CMCD). Tokens never reach a record, for whoever reads the log could replay them; of a client's
address it has what the operator lets it have.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import NamedTuple

import msgspec

from sluice_appliance.serving.cmcd import Cmcd, Value

TARGET_CHARS_MAX = 512
METHOD_CHARS_MAX = 32
RANGE_CHARS_MAX = 128
# To read an address costs as much as the rest of a record, and clients ask again and again.
CLIENTS_REMEMBERED = 4096


class ClientShown(Enum):
    """How much of a client's address a record has."""

    WHOLE = "whole"
    # A /24 or /48: enough to find the class of clients and its routes, too little for one household.
    NETWORK = "network"
    NOTHING = "nothing"


class Exchange(NamedTuple):
    """A request and how it was answered, as its connection knows them when the response has ended."""

    client: str
    # Which request of its connection, from 1.
    ordinal: int
    method: bytes
    # The path, or the whole target: a query is not shown.
    target: bytes
    # Those of the request that were kept, by lower-case name.
    fields: Mapping[bytes, bytes]
    status: int
    # Of the body; fewer than were to be sent where the client left.
    sent_bytes: int
    # Of the object; 0 where there is none.
    size_bytes: int
    # How the cache took it: hit, disk, absent, shed, ...
    cache: str
    ttfb_us: int
    duration_us: int
    # "TLSv1.3"; "" in the clear.
    tls: str = ""
    kernel_tls: bool = False
    # Why it was refused, in words for the operator; "" where it was not.
    refusal: str = ""


class AccessRecord(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The line. What is false, empty or nothing is left out."""

    # When the response had ended, RFC 3339 in UTC, to the millisecond.
    time: str
    appliance: str
    worker: int
    client: str
    connection_request: int
    method: str
    target: str
    status: int
    sent_bytes: int
    ttfb_us: int
    duration_us: int
    # How many requests this one stands for.
    weight: int
    cache: str = ""
    size_bytes: int = 0
    range: str = ""
    tls: str = ""
    kernel_tls: bool = False
    refusal: str = ""
    cmcd: dict[str, Value] = {}


def record_of(
    exchange: Exchange,
    told: Cmcd | None,
    *,
    now: float,
    appliance: str,
    worker: int,
    shown: ClientShown,
    weight: int,
) -> AccessRecord:
    """The record of an exchange that ended at `now` (unix seconds) and whose player told `told`."""
    return AccessRecord(
        time=_rfc3339(now),
        appliance=appliance,
        worker=worker,
        client=show_client(exchange.client, shown),
        connection_request=exchange.ordinal,
        method=_text(exchange.method, METHOD_CHARS_MAX),
        target=_text(exchange.target.partition(b"?")[0], TARGET_CHARS_MAX),
        status=exchange.status,
        sent_bytes=exchange.sent_bytes,
        ttfb_us=exchange.ttfb_us,
        duration_us=exchange.duration_us,
        weight=weight,
        cache=exchange.cache,
        size_bytes=exchange.size_bytes,
        range=_text(exchange.fields.get(b"range", b""), RANGE_CHARS_MAX),
        tls=exchange.tls,
        kernel_tls=exchange.kernel_tls,
        refusal=exchange.refusal,
        cmcd=told.told if told else {},
    )


_encoder = msgspec.json.Encoder()


def encode(record: AccessRecord) -> bytes:
    """The record's line, with its end."""
    return _encoder.encode(record) + b"\n"


@lru_cache(CLIENTS_REMEMBERED)
def show_client(address: str, shown: ClientShown) -> str:
    """What a record shows of an IPv4 or IPv6 address."""
    if shown is ClientShown.NOTHING:
        return ""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        # No address, such as that of a client which left at once.
        return ""
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    if shown is ClientShown.WHOLE:
        return str(parsed)
    return str(ip_network((parsed, 24 if parsed.version == 4 else 48), strict=False))


def _text(sent: bytes, chars_max: int) -> str:
    return sent[:chars_max].decode("ascii", "backslashreplace")


def _rfc3339(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
