"""The fast path: bytes to bytes, for the queries that resolvers send all day.

It answers A and AAAA of bucket names, with or without EDNS, DO, a client subnet and options that we do
not use, and NXDOMAIN below the zone. Anything else, and anything odd, returns None and takes the slow
path (`message.py`), which gives the same answer (tests/dns hold one against the other).

Cost: without EDNS about half of what a client subnet costs. Of the latter a third reads EDNS, and as much
finds the class; packing is concatenation. The slow path costs ten times as much. The kernel's receive and
send come on top (`udp.py`).

Answers are memoised as the packed bytes behind the question, one entry for each (site, bucket, type):
bounded by the map, and dropped with it. Names that do not exist are answered from one template and
leave nothing behind. No answer is longer than 512 bytes (`steering_map.py`), so none
has to be cut.
"""

import struct
from collections.abc import Callable
from typing import NamedTuple

from sluice_dns import ecs, names
from sluice_dns.answer import addresses, find_owner, soa
from sluice_dns.metrics import ANSWERS, CLIENT_SUBNET, FAST_PATH, Row
from sluice_dns.protocol import HEADER_BYTES, UDP_PAYLOAD_BYTES, Class, Option, Rcode, Type
from sluice_dns.steering_map import MapView

# (a query, the asker's address as text) -> the answer, or None for the slow path.
FastPath = Callable[[bytes, str], bytes | None]
# Text of an address to four or sixteen bytes.
AddressOf = Callable[[str], bytes]

# Where the zone, or the site, begins in `\5b0173` + rest.
_REST = HEADER_BYTES + 6
_SHORTEST = HEADER_BYTES + 5
_ONE_QUESTION = b"\0\1\0\0\0\0"
_KINDS = {b"\0\x01\0\1": Type.A, b"\0\x1c\0\1": Type.AAAA}
_OPT_BYTES = 11
# Up to the length of the options, without and with DO.
_OPT_HEADS = tuple(
    b"\0\0\x29" + UDP_PAYLOAD_BYTES.to_bytes(2) + b"\0\0" + flags for flags in (b"\0\0", b"\x80\0")
)
# As ints: an enumeration's member costs 0.1 us each time it is looked up.
_CLIENT_SUBNET, _NSID = int(Option.CLIENT_SUBNET), int(Option.NSID)
# Length of the options, and the head of one client subnet of n bytes (4 and an address).
_SUBNET_HEADS = tuple(struct.pack("!3H", n + 4, _CLIENT_SUBNET, n) for n in range(4 + 16 + 1))
_SCOPES = tuple(bytes((scope,)) for scope in range(256))
# Stands for options that the slow path should read; told apart by identity.
_ODD = b"odd"
_OPTIONS_MAX = 4
# Types with a meaning of their own: OPT, and the meta types from 128 on (RFC 6895 3.1).
_META_TYPES_FROM = 128
# QR and AA, then RD as it came; the second byte has CD as it came.
_FLAGS = tuple(bytes((0x84 | rd,)) for rd in (0, 1))
_NOERROR = (b"\x00", b"\x10")
_NXDOMAIN = (b"\x03", b"\x13")
_KNOWN_FLAGS = frozenset((b"\0\0\0\0", b"\0\0\x80\0"))
_STEERED = -1


class _Tail(NamedTuple):
    """What follows an answer's flags, but for the question and the OPT."""

    counts: bytes
    counts_with_opt: bytes
    records: bytes
    # All ones where the client's subnet decided, 0 where the answer is for everyone.
    scope_mask: int


# DO as it came (0 or 1; RFC 3225 3), -1 without an OPT; the client subnet option, as it came and read.
# A plain tuple: a named one costs 0.3 us to make.
_Opt = tuple[int, bytes, ecs.Subnet | None]
_NO_OPT: _Opt = (-1, b"", None)


def build(view: MapView, tails: "Tails", row: Row, address_of: AddressOf) -> FastPath:
    """The fast path over one map; `row` is where it counts."""
    buckets = {b"\x05b%04d" % number: number for number in range(view.bucket_count)}
    places = _places(view)
    classes = view.classes
    tail_of = tails.get
    no_such_name = _no_such_name(view, row)
    answered = ANSWERS[Rcode.NOERROR]

    def respond(data: bytes, host: str) -> bytes | None:
        if len(data) < _SHORTEST or data[2] & 0xF8 or data[4:10] != _ONE_QUESTION:
            return None
        bucket = buckets.get(data[12:18].lower())
        end = data.find(0, _REST) + 1
        place = places.get(data[_REST:end].lower())
        if bucket is None or place is None:
            return no_such_name(data)
        question_end = end + 4
        # The type is compared as it came: lowered, HTTPS (65) would become 97.
        kind = _KINDS.get(data[end:question_end])
        opt = _read_opt(data, question_end)
        if kind is None or opt is None:
            return None
        dnssec_ok, option, subnet = opt
        scope = 0
        if place != _STEERED:
            tail = tail_of(place, bucket, kind, False)
        else:
            if subnet is not None and subnet.source:
                class_, scope = ecs.locate_subnet(view, subnet)
            else:
                class_ = ecs.locate_address(view, address_of(host))
            tail = None
            for site in classes[class_]:
                tail = tail_of(site, bucket, kind, True)
                if tail is not None:
                    break
        if tail is None:
            return None
        row[FAST_PATH] += 1
        row[answered] += 1
        flags = _FLAGS[data[2] & 1] + _NOERROR[data[3] >> 4 & 1]
        if dnssec_ok < 0:
            return data[:2] + flags + tail.counts + data[12:question_end] + tail.records
        if option:
            row[CLIENT_SUBNET] += 1
        return (
            data[:2]
            + flags
            + tail.counts_with_opt
            + data[12:question_end]
            + tail.records
            + _pack_opt(dnssec_ok, option, scope & tail.scope_mask)
        )

    return respond


def _places(view: MapView) -> dict[bytes, int]:
    """What may stand behind a bucket's label: the zone, or a site of it."""
    zone = names.to_wire(view.zone)
    places = {zone: _STEERED}
    for index, site in enumerate(view.sites):
        places[bytes((len(site.label),)) + site.label + zone] = index
    # A name server may have the name of a bucket; the slow path knows who goes first.
    return places


def _read_opt(data: bytes, at: int) -> _Opt | None:
    """The OPT that is all that follows the question; None for the slow path."""
    room = len(data) - at - _OPT_BYTES
    if data[10:12] == b"\0\0":
        return _NO_OPT if room == -_OPT_BYTES else None
    # The root's OPT; no extended code, version 0, no flag but DO; nothing after it.
    if (
        data[10:12] != b"\0\1"
        or room < 0
        or data[at : at + 3] != b"\0\0\x29"
        or data[at + 5 : at + 9] not in _KNOWN_FLAGS
        or room != data[at + 9] << 8 | data[at + 10]
    ):
        return None
    option: bytes = b"" if room == 0 else _find_subnet(data, at + _OPT_BYTES)
    if option is _ODD:
        return None
    if not option:
        return data[at + 7] >> 7, b"", None
    try:
        return data[at + 7] >> 7, option, ecs.read(option)
    except ecs.MalformedSubnet:
        return None


def _find_subnet(data: bytes, at: int) -> bytes:
    """The client subnet among the options from `at` to the end; empty for none, _ODD for the slow path."""
    length = len(data)
    found = b""
    for _ in range(_OPTIONS_MAX):
        if at + 4 > length:
            return _ODD
        end = at + 4 + (data[at + 2] << 8 | data[at + 3])
        code = data[at] << 8 | data[at + 1]
        if end > length or code == _NSID:
            return _ODD
        if code == _CLIENT_SUBNET:
            if found or end == at + 4:
                return _ODD
            found = data[at + 4 : end]
        if end == length:
            return found
        at = end
    return _ODD


def _pack_opt(dnssec_ok: int, option: bytes, scope: int) -> bytes:
    if not option:
        return _OPT_HEADS[dnssec_ok] + b"\0\0"
    return (
        _OPT_HEADS[dnssec_ok]
        + _SUBNET_HEADS[len(option)]
        + option[:3]
        + _SCOPES[scope]
        + option[4:]
    )


class Tails:
    """Memoises tails: one for each site, bucket, type, and whether the name is steered."""

    def __init__(self, view: MapView) -> None:
        self._view = view
        self._bucket_count = view.bucket_count
        self._made: dict[int, _Tail | None] = {}

    def __len__(self) -> int:
        return len(self._made)

    def get(self, site: int, bucket: int, kind: int, steered: bool) -> _Tail | None:
        """None where the site has nobody for the bucket."""
        key = (site * self._bucket_count + bucket) << 6 | kind << 1 | steered
        try:
            return self._made[key]
        except KeyError:
            tail = self._made[key] = _make_tail(self._view, site, bucket, kind, steered)
            return tail


def _make_tail(view: MapView, site: int, bucket: int, kind: int, steered: bool) -> _Tail | None:
    if not view.sites[site].row(bucket):
        return None
    found = addresses(view, site, bucket, kind)
    if not found:
        zone_at = _REST if steered else _REST + 1 + len(view.sites[site].label)
        return _Tail(_counts(0, 1, 0), _counts(0, 1, 1), _soa(view, zone_at), 0)
    head = b"\xc0\x0c" + struct.pack("!HHI", kind, Class.IN, view.ttl_s)
    records = b"".join(head + len(each).to_bytes(2) + each for each in found)
    scope_mask = 0xFF if steered else 0
    return _Tail(_counts(len(found), 0, 0), _counts(len(found), 0, 1), records, scope_mask)


def _counts(answers: int, authority: int, additional: int) -> bytes:
    return struct.pack("!4H", 1, answers, authority, additional)


def _soa(view: MapView, zone_at: int) -> bytes:
    """The SOA of a negative answer to a question whose zone begins at byte `zone_at`."""
    record = soa(view, view.negative_ttl_s)
    head = struct.pack(
        "!HHHIH", 0xC000 | zone_at, record.type, Class.IN, record.ttl_s, len(record.data)
    )
    return head + record.data


def _no_such_name(view: MapView, row: Row) -> Callable[[bytes], bytes | None]:
    """NXDOMAIN for names that nobody made: floods of random names must stay as cheap as answers."""
    zone = names.to_wire(view.zone)
    soa_records = _soa(view, 0)[2:]
    answered = ANSWERS[Rcode.NXDOMAIN]
    plain, with_opt = _counts(0, 1, 0), _counts(0, 1, 1)

    def respond(data: bytes) -> bytes | None:
        try:
            labels, end = names.read(data, HEADER_BYTES)
        except names.MalformedName:
            return None
        type_class = data[end : end + 4]
        if len(type_class) < 4 or type_class[2:] != b"\0\1" or not _is_plain_type(type_class):
            return None
        if not names.is_under(labels, view.zone) or find_owner(labels, view) is not None:
            return None
        opt = _read_opt(data, end + 4)
        if opt is None:
            return None
        dnssec_ok, option, _ = opt
        row[FAST_PATH] += 1
        row[answered] += 1
        head = data[:2] + _FLAGS[data[2] & 1] + _NXDOMAIN[data[3] >> 4 & 1]
        pointer = (0xC000 | end - len(zone)).to_bytes(2)
        if dnssec_ok < 0:
            return head + plain + data[12 : end + 4] + pointer + soa_records
        if option:
            row[CLIENT_SUBNET] += 1
        question = data[12 : end + 4]
        return head + with_opt + question + pointer + soa_records + _pack_opt(dnssec_ok, option, 0)

    return respond


def _is_plain_type(type_class: bytes) -> bool:
    return type_class[0] == 0 and type_class[1] < _META_TYPES_FROM and type_class[1] != Type.OPT
