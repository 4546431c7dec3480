"""The slow path: any packet into a query or a refusal, any answer into a packet.

Questions and EDNS are read here byte by byte, because dnslib loses an empty last option (which is how
NSID is asked for) and follows chains of pointers; dnslib packs the answers. About 100 us a query.
"""

from dataclasses import dataclass

from dnslib import RD, RR, DNSLabel, EDNSOption
from dnslib.label import DNSBuffer

from sluice_dns import ecs, names
from sluice_dns.answer import Answer, Question, Record
from sluice_dns.protocol import (
    HEADER_BYTES,
    PLAIN_PAYLOAD_BYTES,
    UDP_PAYLOAD_BYTES,
    Option,
    Rcode,
    Type,
)

# A query has an OPT and perhaps a TSIG; IXFR has one SOA. What asks for more work is refused.
RECORDS_MAX = 8
OPTIONS_MAX = 16

_QR, _AA, _TC, _RD, _CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0010
_OPCODE_MASK = 0x7800
_DO = 0x8000


class Ignored(Exception):
    """Not to be answered at all; the argument is the counter's reason."""


class Refused(Exception):
    """Answered with an error before the question matters."""

    def __init__(self, reply: bytes, rcode: Rcode) -> None:
        super().__init__(rcode.name)
        self.reply = reply
        self.rcode = rcode


@dataclass(frozen=True, slots=True)
class Edns:
    payload_bytes: int
    dnssec_ok: bool
    # The client subnet option as it came, and read.
    subnet_option: bytes | None
    subnet: ecs.Subnet | None
    wants_server_id: bool


@dataclass(frozen=True, slots=True)
class Query:
    id: int
    flags: int
    question: Question
    # As it came: answers keep the case of the name (0x20).
    question_bytes: bytes
    edns: Edns | None


class _Malformed(ValueError):
    pass


def read(data: bytes) -> Query:
    """Raises Ignored or Refused."""
    if len(data) < HEADER_BYTES:
        raise Ignored("too_short")
    id_, flags = _u16(data, 0), _u16(data, 2)
    if flags & _QR:
        # Answering answers would let two servers talk for ever.
        raise Ignored("not_a_query")
    if flags & _OPCODE_MASK:
        raise Refused(_bare(id_, flags, Rcode.NOTIMP), Rcode.NOTIMP)
    try:
        if _u16(data, 4) != 1:
            raise _Malformed("RFC 9619: a query has one question")
        labels, at = names.read(data, HEADER_BYTES)
        question = Question(labels, _u16(data, at), _u16(data, at + 2))
        question_bytes = data[HEADER_BYTES : at + 4]
        opt = _find_opt(data, at + 4)
        if opt is not None and opt.version > 0:
            query = Query(id_, flags, question, question_bytes, opt.without_options())
            raise Refused(pack(query, Answer(Rcode.BADVERS, authoritative=False)), Rcode.BADVERS)
        edns = None if opt is None else opt.read()
    except (_Malformed, names.MalformedName, ecs.MalformedSubnet):
        raise Refused(_bare(id_, flags, Rcode.FORMERR), Rcode.FORMERR) from None
    return Query(id_, flags, question, question_bytes, edns)


@dataclass(frozen=True, slots=True)
class _Opt:
    """An OPT record (RFC 6891 6.1.2) before its options are read."""

    payload_bytes: int
    version: int
    dnssec_ok: bool
    options: bytes

    def without_options(self) -> Edns:
        return Edns(self.payload_bytes, self.dnssec_ok, None, None, False)

    def read(self) -> Edns:
        found = _options(self.options)
        subnets = [payload for code, payload in found if code == Option.CLIENT_SUBNET]
        if len(subnets) > 1:
            raise _Malformed("two client subnets")
        return Edns(
            self.payload_bytes,
            self.dnssec_ok,
            subnets[0] if subnets else None,
            ecs.read(subnets[0]) if subnets else None,
            any(code == Option.NSID for code, _ in found),
        )


def _find_opt(data: bytes, at: int) -> _Opt | None:
    count = _u16(data, 6) + _u16(data, 8) + _u16(data, 10)
    if count > RECORDS_MAX:
        raise _Malformed(f"{count} records in a query")
    before_additional = _u16(data, 6) + _u16(data, 8)
    found: _Opt | None = None
    for index in range(count):
        owner, at = at, names.skip(data, at)
        kind, class_, end = _u16(data, at), _u16(data, at + 2), at + 10 + _u16(data, at + 8)
        if end > len(data):
            raise _Malformed("the bytes end inside a record")
        if kind == Type.OPT:
            if found is not None or data[owner] or index < before_additional:
                raise _Malformed("RFC 6891 6.1.1: one OPT, of the root, among the additional")
            dnssec_ok = bool(_u16(data, at + 6) & _DO)
            found = _Opt(class_, data[at + 5], dnssec_ok, data[at + 10 : end])
        at = end
    if at != len(data):
        raise _Malformed(f"{len(data) - at} bytes after the message")
    return found


def _options(data: bytes) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data):
        end = at + 4 + _u16(data, at + 2)
        if end > len(data) or len(found) == OPTIONS_MAX:
            raise _Malformed("an option that does not fit")
        found.append((_u16(data, at), data[at + 4 : end]))
        at = end
    return found


def pack(
    query: Query, answer: Answer, *, server_id: str = "", room_bytes: int = UDP_PAYLOAD_BYTES
) -> bytes:
    """The packet, at most `room_bytes` long and never longer than what the client takes.

    What does not fit is replaced by empty sections and TC=1: no partial set of records is sent.
    """
    opt = _opt(query.edns, answer, server_id)
    packed = _pack(query, answer, opt)
    if len(packed) <= room_bytes:
        return packed
    return _pack(query, Answer(answer.rcode, authoritative=answer.authoritative), opt, _TC)


def room_over_udp(query: Query) -> int:
    """How many bytes an answer may have over UDP."""
    if query.edns is None:
        return PLAIN_PAYLOAD_BYTES
    return min(UDP_PAYLOAD_BYTES, max(PLAIN_PAYLOAD_BYTES, query.edns.payload_bytes))


def _pack(query: Query, answer: Answer, opt: RR | None, more_flags: int = 0) -> bytes:
    flags = _QR | query.flags & (_RD | _CD) | answer.rcode & 0xF | more_flags
    if answer.authoritative:
        flags |= _AA
    additional = len(answer.additional) + (opt is not None)
    buffer = DNSBuffer()
    counts = (1, len(answer.answers), len(answer.authority), additional)
    buffer.pack("!6H", query.id, flags, *counts)
    buffer.encode_name(DNSLabel(query.question.name))
    buffer.pack("!2H", query.question.type, query.question.class_)
    for record in (*answer.answers, *answer.authority, *answer.additional):
        _rr(record).pack(buffer)
    if opt is not None:
        opt.pack(buffer)
    question_end = HEADER_BYTES + len(query.question_bytes)
    packed = bytes(buffer.data)
    return packed[:HEADER_BYTES] + query.question_bytes + packed[question_end:]


def _rr(record: Record) -> RR:
    return RR(
        DNSLabel(record.owner), int(record.type), int(record.class_), record.ttl_s, RD(record.data)
    )


def _opt(edns: Edns | None, answer: Answer, server_id: str) -> RR | None:
    if edns is None:
        return None
    options = []
    if edns.subnet_option is not None:
        scope = answer.scope
        options.append(EDNSOption(int(Option.CLIENT_SUBNET), ecs.echo(edns.subnet_option, scope)))
    if edns.wants_server_id and server_id:
        options.append(EDNSOption(int(Option.NSID), server_id.encode()))
    if answer.explanation is not None:
        text = answer.explanation.code.to_bytes(2) + answer.explanation.text.encode()
        options.append(EDNSOption(int(Option.EXTENDED_ERROR), text))
    ttl = answer.rcode >> 4 << 24 | (_DO if edns.dnssec_ok else 0)
    return RR(DNSLabel(()), int(Type.OPT), UDP_PAYLOAD_BYTES, ttl, options)


def failure(data: bytes) -> bytes:
    """SERVFAIL for a query that an error of ours kept from its answer."""
    return _bare(_u16(data, 0), _u16(data, 2), Rcode.SERVFAIL)


def _bare(id_: int, flags: int, rcode: Rcode) -> bytes:
    # Nothing but a header: what could not be read is not repeated.
    kept = flags & (_OPCODE_MASK | _RD | _CD)
    return id_.to_bytes(2) + (_QR | kept | rcode).to_bytes(2) + bytes(8)


def _u16(data: bytes, at: int) -> int:
    if at + 2 > len(data):
        raise _Malformed(f"the bytes end at {len(data)}")
    return data[at] << 8 | data[at + 1]


def is_truncated(reply: bytes) -> bool:
    return bool(_u16(reply, 2) & _TC)
