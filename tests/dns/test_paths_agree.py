"""One query has one answer: fast path, slow path, and an independent reader (dnspython) agree."""

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice_dns import metrics, wire
from sluice_dns.metrics import SPECS
from sluice_dns.responder import Responder
from sluice_dns.steering_map import load
from sluice_dns.testing.maps import MapOf
from sluice_dns.udp import address_of
from sluice_runtime.counters import SharedCounters

VIEW = load(MapOf(empty=((0, 7), (0, 8), (1, 8)), bucket_count=32).payload())
COUNTERS = SharedCounters(SPECS, rows=1)
ROW = COUNTERS.row(0)
RESPONDER = Responder(VIEW, server_id="pop-1", row=ROW, address_of=address_of)
FAST = wire.build(VIEW, wire.Tails(VIEW), ROW, address_of)

_LABELS = st.one_of(
    st.builds(lambda n: b"b%04d" % n, st.integers(0, 40)),
    st.sampled_from([b"site-a", b"site-b", b"ns1", b"v", b"x" * 63, b"B0001", b"a\0b", b"\xff"]),
    st.binary(min_size=1, max_size=6),
)
_ENDS = st.sampled_from([(b"v", b"sluice", b"test"), (b"V", b"slUICE", b"Test"), (b"test",), ()])
_TYPES = st.one_of(
    st.sampled_from([1, 1, 1, 28, 2, 6, 16, 41, 65, 97, 250, 251, 252, 255]), st.integers(0, 65535)
)
_HOSTS = st.sampled_from(["10.1.2.3", "10.2.9.9", "127.0.0.1", "2001:db8:b::7", "fe80::1%lo"])
_SUBNETS = st.one_of(
    st.sampled_from(
        [
            bytes((0, 1, 24, 0, 10, 2, 3)),
            bytes((0, 1, 0, 0)),
            bytes(4),
            bytes((0, 2, 48, 0, 32, 1, 13, 184, 0, 10)),
        ]
    ),
    st.binary(max_size=12),
)
_OPTIONS = st.lists(
    st.one_of(
        st.tuples(st.just(8), _SUBNETS),
        st.tuples(st.sampled_from([3, 10, 11, 12, 65001]), st.binary(max_size=9)),
    ),
    max_size=6,
)


@st.composite
def opts(draw: st.DrawFn) -> bytes:
    options = b"".join(
        code.to_bytes(2) + len(data).to_bytes(2) + data for code, data in draw(_OPTIONS)
    )
    size = draw(st.sampled_from([0, 300, 512, 1232, 4096]))
    head = draw(
        st.sampled_from([b"\0\0\0\0", b"\0\0\x80\0", b"\0\0\xc0\0", b"\0\1\0\0", b"\1\0\0\0"])
    )
    return b"\0\0\x29" + size.to_bytes(2) + head + len(options).to_bytes(2) + options


@st.composite
def queries(draw: st.DrawFn) -> bytes:
    labels = (*draw(st.lists(_LABELS, max_size=3)), *draw(_ENDS))
    name = b"".join(bytes((len(each),)) + each for each in labels) + b"\0"
    additional = draw(st.lists(opts(), max_size=draw(st.sampled_from([1, 1, 1, 2]))))
    flags = draw(st.sampled_from([0, 0x0100, 0x0110, 0x0010, 0x0600, 0x01A0]))
    kind, class_ = draw(_TYPES), draw(st.sampled_from([1, 1, 1, 1, 3, 255]))
    counts = (1).to_bytes(2) + bytes(4) + len(additional).to_bytes(2)
    tail = draw(st.sampled_from([b"", b"", b"", b"\0"]))
    return (
        draw(st.binary(min_size=2, max_size=2))
        + flags.to_bytes(2)
        + counts
        + name
        + kind.to_bytes(2)
        + class_.to_bytes(2)
        + b"".join(additional)
        + tail
    )


def _read(reply: bytes) -> dns.message.Message:
    """dnspython knows no family 0, which `dig +subnet=0` sends and gets back: it is shown family 1."""
    return dns.message.from_wire(reply.replace(b"\0\x08\0\4\0\0\0\0", b"\0\x08\0\4\0\1\0\0"))


def _facts(reply: bytes) -> object:
    message = _read(reply)
    sections = [
        sorted((str(s.name).lower(), s.rdtype, s.ttl, sorted(r.to_text() for r in s)) for s in part)
        for part in (message.answer, message.authority, message.additional)
    ]
    options = [(option.otype, option.to_wire()) for option in message.options]
    return message.id, message.flags, message.ednsflags, message.payload, sections, options


@settings(max_examples=600)
@given(queries(), _HOSTS)
def test_the_fast_path_says_what_the_slow_path_says(data: bytes, host: str) -> None:
    fast = FAST(data, host)
    if fast is None:
        return
    slow = RESPONDER.slowly(data, host, room_bytes=None)
    assert slow is not None
    assert _facts(fast) == _facts(slow)
    question_end = data.index(b"\0\0\x29", 12) if data[11] else len(data)
    assert fast[12:question_end] == slow[12:question_end] == data[12:question_end]
    assert len(fast) <= 512


@settings(max_examples=300)
@given(queries(), _HOSTS)
def test_every_answer_reads_and_keeps_the_promises_of_the_protocol(data: bytes, host: str) -> None:
    reply = RESPONDER.over_udp(data, host)
    assert reply is not None
    message = _read(reply)
    assert reply[:2] == data[:2]
    assert message.flags & dns.flags.QR
    assert not message.flags & (dns.flags.RA | dns.flags.AD)
    assert len(reply) <= 1232
    asked_with_opt = data[11] == 1
    if len(reply) > 12:
        assert (message.edns >= 0) == asked_with_opt
        assert reply[12 : 12 + 5] == data[12 : 12 + 5]
    if any(option.otype == dns.edns.ECS for option in message.options):
        assert b"\0\x08" in data


@settings(max_examples=600)
@given(st.binary(max_size=600), _HOSTS)
def test_any_bytes_get_an_answer_or_silence(data: bytes, host: str) -> None:
    for reply in (RESPONDER.over_udp(data, host), RESPONDER.over_stream(data, host)):
        assert reply is None or _read(reply).flags & dns.flags.QR


@settings(max_examples=400)
@given(queries(), st.integers(0, 200), st.integers(0, 255), st.integers(0, 80))
def test_a_query_with_a_wrong_byte_or_a_lost_end_gets_an_answer_or_silence(
    data: bytes, at: int, byte: int, lost: int
) -> None:
    spoilt = bytearray(data)
    spoilt[at % len(spoilt)] = byte
    for packet in (bytes(spoilt), data[: len(data) - lost], bytes(spoilt[:-1])):
        reply = RESPONDER.over_udp(packet, "10.1.2.3")
        assert reply is None or _read(reply).flags & dns.flags.QR


def _ask(name: str, kind: str = "A", **options: object) -> dns.message.Message:
    made = dns.message.make_query(name, kind, **options)  # type: ignore[arg-type]
    reply = RESPONDER.over_udp(made.to_wire(), "10.2.0.1")
    assert reply is not None
    return _read(reply)


def _subnet(reply: dns.message.Message) -> dns.edns.ECSOption | None:
    found = [option for option in reply.options if isinstance(option, dns.edns.ECSOption)]
    return found[0] if found else None


def test_a_subnet_is_echoed_with_its_true_scope_and_decides() -> None:
    option = dns.edns.ECSOption("10.1.2.0", 24)
    reply = _ask("b0001.v.sluice.test", options=[option])
    assert _subnet(reply) == dns.edns.ECSOption("10.1.2.0", 24, 16)
    assert reply.answer[0][0].to_text() == "127.0.10.2"


def test_without_a_subnet_the_resolver_decides_and_none_is_added() -> None:
    for edns in (False, True):
        reply = _ask("b0001.v.sluice.test", use_edns=edns)
        assert reply.answer[0][0].to_text() == "127.0.20.2"
        assert not reply.options


def test_a_subnet_comes_back_with_scope_0_from_names_that_do_not_depend_on_it() -> None:
    option = dns.edns.ECSOption("10.1.2.0", 24)
    for name, kind in (
        ("v.sluice.test", "SOA"),
        ("b0001.site-b.v.sluice.test", "A"),
        ("b0001.site-b.v.sluice.test", "AAAA"),
        ("nobody.v.sluice.test", "A"),
        ("b0007.v.sluice.test", "AAAA"),
        ("else.test", "A"),
    ):
        echoed = _subnet(_ask(name, kind, options=[option]))
        assert echoed == dns.edns.ECSOption("10.1.2.0", 24, 0), name


def _raw(
    name: bytes = b"\5b0001\1v\6sluice\4test\0", additional: bytes = b"", count: int = 0
) -> bytes:
    return b"\x12\x34\1\0\0\1\0\0\0\0" + count.to_bytes(2) + name + b"\0\1\0\1" + additional


_OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"


@pytest.mark.parametrize(
    ("data", "rcode"),
    [
        (_raw(additional=_OPT + _OPT, count=2), 1),
        (_raw(additional=_OPT, count=0), 1),
        (_raw(additional=b"\1x" + _OPT, count=1), 1),
        (_raw(name=b"\xc0\x0c"), 1),
        (_raw(name=b"\x05b0001" * 60 + b"\0"), 1),
        (_raw()[:-1], 1),
        (b"\x12\x34\1\0" + bytes(8), 1),
        (b"\x12\x34\1\0\0\2" + bytes(6) + b"\0\0\1\0\1" * 2, 1),
        (_raw(additional=b"\0\0\x29\x04\xd0\0\0\0\0\0\x05\0\x08\0\1\0", count=1), 1),
        (b"\x12\x34\x28\0" + bytes(8), 4),
    ],
)
def test_malformed_packets_get_formerr_and_other_opcodes_notimp(data: bytes, rcode: int) -> None:
    reply = RESPONDER.over_udp(data, "127.0.0.1")
    assert reply is not None
    assert reply[3] & 0xF == rcode
    assert len(reply) == 12


def test_another_edns_version_gets_badvers() -> None:
    reply = _ask("b0001.v.sluice.test", use_edns=1)
    assert reply.rcode() == 16
    assert reply.edns == 0
    assert not reply.answer


def test_answers_and_scraps_are_met_with_silence_and_counted() -> None:
    before = COUNTERS.totals()
    assert RESPONDER.over_udp(b"\x12\x34\x81\0" + _raw()[4:], "127.0.0.1") is None
    assert RESPONDER.over_udp(b"\x12\x34\x01", "127.0.0.1") is None
    after = COUNTERS.totals()
    for reason in ("not_a_query", "too_short"):
        name = f'sluice_dns_dropped_total{{reason="{reason}"}}'
        assert after[name] == before[name] + 1


def test_the_server_says_its_id_when_asked() -> None:
    reply = _ask("v.sluice.test", "SOA", options=[dns.edns.GenericOption(dns.edns.NSID, b"")])
    assert [option.to_wire() for option in reply.options] == [b"pop-1"]


def test_nobody_to_name_comes_with_its_reason() -> None:
    before = ROW[metrics.NOBODY]
    reply = _ask("b0008.v.sluice.test", use_edns=True)
    assert not reply.answer
    assert [option.otype for option in reply.options] == [dns.edns.EDE]
    assert ROW[metrics.NOBODY] == before + 1


def test_what_does_not_fit_is_cut_to_nothing_and_comes_whole_over_tcp() -> None:
    servers = tuple((f"{'n' * 50}{n}.v.sluice.test", "127.0.0.1", "::1") for n in range(8))
    responder = Responder(
        load(MapOf(name_servers=servers).payload()), server_id="", row=ROW, address_of=address_of
    )
    query = dns.message.make_query("v.sluice.test", "NS").to_wire()
    cut, whole = responder.over_udp(query, "127.0.0.1"), responder.over_stream(query, "127.0.0.1")
    assert cut is not None
    assert whole is not None
    assert _read(cut).flags & dns.flags.TC
    assert cut[6:12] == bytes(6)
    assert len(_read(whole).answer[0]) == 8
    assert len(whole) > 512


def test_before_the_first_map_every_question_is_servfail_with_its_reason() -> None:
    responder = Responder(None, server_id="", row=ROW, address_of=address_of)
    query = dns.message.make_query("b0001.v.sluice.test", "A", use_edns=True).to_wire()
    reply = responder.over_udp(query, "127.0.0.1")
    assert reply is not None
    message = _read(reply)
    assert message.rcode() == 2
    assert [option.otype for option in message.options] == [dns.edns.EDE]


def test_names_that_do_not_exist_leave_nothing_behind() -> None:
    tails = wire.Tails(VIEW)
    fast = wire.build(VIEW, tails, ROW, address_of)
    for number in range(50):
        reply = fast(_raw(name=b"\x06x%05d" % number + b"\1v\6sluice\4test\0"), "127.0.0.1")
        assert reply is not None
        assert reply[3] & 0xF == 3
    assert len(tails) == 0
    assert fast(_raw(), "127.0.0.1") is not None
    assert len(tails) == 1
