"""What an access record says: one line of JSON for a request, made from what its connection knows.

A record is made only for a request that is sampled: some 10 us, and some 40 more where the player tells of
itself (CMCD). What a record hides is decided in `shown.py`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from sluice_appliance.serving.cmcd import Cmcd, Value
from sluice_appliance.serving.shown import ClientShown, show_client, show_path

# A longer target is refused before it gets here. Hidden first, then cut: a cut token is a token.
TARGET_BYTES_MAX = 8000
TARGET_CHARS_MAX = 512
METHOD_BYTES_MAX = 32
RANGE_BYTES_MAX = 128


class Exchange(NamedTuple):
    """A request and how it was answered, as its connection knows them when the response has ended."""

    client: str
    # Which request of its connection, from 1.
    ordinal: int
    method: bytes
    # As it was asked for; its token is not shown.
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
        method=_text(exchange.method, METHOD_BYTES_MAX),
        target=show_path(_text(exchange.target, TARGET_BYTES_MAX))[:TARGET_CHARS_MAX],
        status=exchange.status,
        sent_bytes=exchange.sent_bytes,
        ttfb_us=exchange.ttfb_us,
        duration_us=exchange.duration_us,
        weight=weight,
        cache=exchange.cache,
        size_bytes=exchange.size_bytes,
        range=_text(exchange.fields.get(b"range", b""), RANGE_BYTES_MAX),
        tls=exchange.tls,
        kernel_tls=exchange.kernel_tls,
        refusal=exchange.refusal,
        cmcd=told.told if told else {},
    )


_encoder = msgspec.json.Encoder()


def encode(record: AccessRecord) -> bytes:
    """The record's line, with its end."""
    return _encoder.encode(record) + b"\n"


def _text(sent: bytes, bytes_max: int) -> str:
    return sent[:bytes_max].decode("ascii", "backslashreplace")


def _rfc3339(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
