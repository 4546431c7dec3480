"""What each name of the zone answers."""

import pytest

from sluice_dns import names
from sluice_dns.answer import Answer, Question, decide
from sluice_dns.protocol import Class, Rcode, Type
from sluice_dns.steering_map import MapView, load
from sluice_dns.testing.maps import MapOf

CLASS_A = (1, 16)
CLASS_B = (2, 16)


def ask(view: MapView, name: str, kind: int, place: tuple[int, int] = CLASS_A) -> Answer:
    return decide(Question(names.from_text(name), kind, Class.IN), view, place)


def addresses(answer: Answer) -> list[str]:
    return [".".join(map(str, record.data)) for record in answer.answers]


def test_a_client_is_sent_to_the_first_site_of_its_class(view: MapView) -> None:
    assert addresses(ask(view, "b0000.v.sluice.test", Type.A, CLASS_A)) == [
        "127.0.10.1",
        "127.0.10.2",
    ]
    assert addresses(ask(view, "b0001.v.sluice.test", Type.A, CLASS_B)) == [
        "127.0.20.2",
        "127.0.20.1",
    ]


def test_a_site_with_nobody_for_the_bucket_is_passed_over(view: MapView) -> None:
    answer = ask(view, "b0007.v.sluice.test", Type.A, CLASS_A)
    assert addresses(answer) == ["127.0.20.2", "127.0.20.1"]
    assert answer.scope == 16


def test_a_sites_own_name_answers_that_site_alone_whoever_asks(view: MapView) -> None:
    for place in (CLASS_A, CLASS_B):
        answer = ask(view, "b0000.site-b.v.sluice.test", Type.A, place)
        assert addresses(answer) == ["127.0.20.1", "127.0.20.2"]
        assert answer.scope == 0


@pytest.mark.parametrize("name", ["b0008.v.sluice.test", "b0007.site-a.v.sluice.test"])
def test_nobody_to_name_is_said_and_counted_not_an_address(view: MapView, name: str) -> None:
    answer = ask(view, name, Type.A)
    assert answer.nobody
    assert answer.rcode is Rcode.NOERROR
    assert not answer.answers
    assert answer.explanation is not None
    assert [record.type for record in answer.authority] == [Type.SOA]


@pytest.mark.parametrize(
    ("name", "kind", "rcode"),
    [
        ("b0000.v.sluice.test", Type.TXT, Rcode.NOERROR),
        ("b0000.site-b.v.sluice.test", Type.AAAA, Rcode.NOERROR),
        ("site-a.v.sluice.test", Type.A, Rcode.NOERROR),
        ("v.sluice.test", Type.A, Rcode.NOERROR),
        ("ns1.v.sluice.test", Type.TXT, Rcode.NOERROR),
        ("b1024.v.sluice.test", Type.A, Rcode.NXDOMAIN),
        ("b001.v.sluice.test", Type.A, Rcode.NXDOMAIN),
        ("x0001.v.sluice.test", Type.A, Rcode.NXDOMAIN),
        ("b0000.site-c.v.sluice.test", Type.A, Rcode.NXDOMAIN),
        ("x.b0000.v.sluice.test", Type.A, Rcode.NXDOMAIN),
        ("site-c.v.sluice.test", Type.A, Rcode.NXDOMAIN),
        ("x.ns1.v.sluice.test", Type.A, Rcode.NXDOMAIN),
    ],
)
def test_what_is_not_there_is_nodata_or_nxdomain_with_the_soa_and_scope_0(
    view: MapView, name: str, kind: int, rcode: Rcode
) -> None:
    answer = ask(view, name, kind)
    assert answer.rcode is rcode
    assert not answer.answers
    assert not answer.nobody
    assert answer.scope == 0
    (soa,) = answer.authority
    assert (soa.type, soa.ttl_s, names.to_text(soa.owner)) == (Type.SOA, 5, "v.sluice.test")


@pytest.mark.parametrize("name", ["sluice.test", "b0000.w.sluice.test", "xv.sluice.test", "test"])
def test_another_zones_names_are_refused(view: MapView, name: str) -> None:
    assert ask(view, name, Type.A).rcode is Rcode.REFUSED


def test_the_apex_has_its_name_servers_with_the_addresses_inside_the_zone(view: MapView) -> None:
    answer = ask(view, "v.sluice.test", Type.NS)
    assert [record.data for record in answer.answers] == [
        names.to_wire(names.from_text("ns1.v.sluice.test")),
        names.to_wire(names.from_text("ns2.elsewhere.test")),
    ]
    assert [record.type for record in answer.additional] == [Type.A, Type.AAAA]
    assert ask(view, "ns1.v.sluice.test", Type.A).answers == answer.additional[:1]


@pytest.mark.parametrize("name", ["v.sluice.test", "b0001.v.sluice.test", "site-a.v.sluice.test"])
def test_any_gets_one_small_record(view: MapView, name: str) -> None:
    (record,) = ask(view, name, Type.ANY).answers
    assert record.type == Type.HINFO
    assert b"RFC8482" in record.data


@pytest.mark.parametrize("kind", [Type.AXFR, Type.IXFR])
def test_the_zone_cannot_be_transferred(view: MapView, kind: int) -> None:
    assert ask(view, "v.sluice.test", kind).rcode is Rcode.REFUSED


def test_the_serial_is_the_maps_revision() -> None:
    view = load(MapOf(revision=77).payload())
    (soa,) = ask(view, "v.sluice.test", Type.SOA).answers
    assert int.from_bytes(soa.data[-20:-16]) == 77


def test_an_answer_names_four_appliances_at_most() -> None:
    many = tuple(f"127.0.30.{n}" for n in range(1, 8))
    view = load(MapOf(sites=(("site-a", many, ()),), classes=((0,), (0,), (0,))).payload())
    assert addresses(ask(view, "b0002.v.sluice.test", Type.A)) == list(many[2:6])


def test_a_name_server_deep_in_the_zone_leaves_no_nxdomain_above_it() -> None:
    servers = (("ns.pop.v.sluice.test", "127.0.0.1", ""),)
    view = load(MapOf(name_servers=servers).payload())
    assert ask(view, "pop.v.sluice.test", Type.A).rcode is Rcode.NOERROR
