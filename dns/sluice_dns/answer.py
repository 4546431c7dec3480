"""What the zone answers: a question and a map give records. No bytes of a packet, no socket.

v.sluice.test               SOA, NS
b0173.v.sluice.test         A, AAAA: the first site in the ranking of the asker's class that has
                            somebody for the bucket
b0173.site-a.v.sluice.test  A, AAAA: that site's, whoever asks
site-a.v.sluice.test        nothing of its own (an empty non-terminal: NODATA, not NXDOMAIN)
name servers in the zone    A, AAAA
"""

import struct
from dataclasses import dataclass
from enum import Enum

from sluice_dns import names
from sluice_dns.names import Labels
from sluice_dns.protocol import Class, ExtendedError, Rcode, Type
from sluice_dns.steering_map import ADDRESSES_MAX, MapView, NameServer

# SOA timers for secondaries (RIPE-203); nobody can transfer the zone, so they are for form.
_SOA_TIMERS = (3600, 600, 1209600)
_VERSION_NAMES = {(b"version", b"bind"), (b"version", b"server")}
_IDENTITY_NAMES = {(b"id", b"server"), (b"hostname", b"bind")}


@dataclass(frozen=True, slots=True)
class Question:
    # In lower case.
    name: Labels
    type: int
    class_: int


@dataclass(frozen=True, slots=True)
class Record:
    owner: Labels
    type: int
    ttl_s: int
    data: bytes
    class_: int = Class.IN


@dataclass(frozen=True, slots=True)
class Explanation:
    """An extended error (RFC 8914)."""

    code: ExtendedError
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    rcode: Rcode
    answers: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    # How many bits of the client's subnet the answer depended on.
    scope: int = 0
    authoritative: bool = True
    explanation: Explanation | None = None
    # Nobody healthy holds the bucket: counted, because a person should look.
    nobody: bool = False


class Owner(Enum):
    """Names of the zone that hold no bucket."""

    APEX = "apex"
    NAME_SERVER = "name server"
    EMPTY = "empty non-terminal"


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket's name: steered when `site` is None."""

    number: int
    site: int | None


NOT_READY = Answer(
    Rcode.SERVFAIL,
    authoritative=False,
    explanation=Explanation(ExtendedError.NOT_READY, "no steering map yet"),
)
NOT_OURS = Answer(
    Rcode.REFUSED,
    authoritative=False,
    explanation=Explanation(ExtendedError.NOT_AUTHORITATIVE, "not a name of this server's zone"),
)
NOT_SERVED = Answer(Rcode.REFUSED, authoritative=False)
_NOBODY = Explanation(ExtendedError.OTHER, "no appliance can be named for this bucket")


def decide(question: Question, view: MapView, class_and_scope: tuple[int, int]) -> Answer:
    """The answer for a question of class IN from an asker of that class."""
    if not names.is_under(question.name, view.zone):
        return NOT_OURS
    if question.type in (Type.AXFR, Type.IXFR):
        return NOT_SERVED
    match owner := find_owner(question.name, view):
        case None:
            return _negative(Rcode.NXDOMAIN, view)
        case _ if question.type == Type.ANY:
            return Answer(Rcode.NOERROR, (_hinfo(question.name, view),))
        case Bucket():
            return _bucket(question, owner, view, class_and_scope)
        case Owner.APEX:
            return _apex(question, view)
        case Owner.NAME_SERVER:
            server = next(each for each in view.name_servers if each.host == question.name)
            records = tuple(r for r in _addresses_of(server, view) if r.type == question.type)
            return Answer(Rcode.NOERROR, records) if records else _negative(Rcode.NOERROR, view)
        case Owner.EMPTY:
            return _negative(Rcode.NOERROR, view)


def decide_about_server(question: Question, server_id: str) -> Answer:
    """Class CH: what this server is (RFC 4892)."""
    if question.type in (Type.TXT, Type.ANY):
        if question.name in _VERSION_NAMES:
            return Answer(Rcode.NOERROR, (_text(question.name, "sluice-dns"),))
        if question.name in _IDENTITY_NAMES and server_id:
            return Answer(Rcode.NOERROR, (_text(question.name, server_id),))
    return NOT_SERVED


def find_owner(name: Labels, view: MapView) -> Bucket | Owner | None:
    """Which of the zone's names this is; None where it has no such name."""
    if name == view.zone:
        return Owner.APEX
    inner = name[: len(name) - len(view.zone)]
    number = _bucket_number(inner[0], view.bucket_count)
    if number is not None and len(inner) == 1:
        return Bucket(number, None)
    if number is not None and len(inner) == 2 and inner[1] in view.site_by_label:
        return Bucket(number, view.site_by_label[inner[1]])
    if any(each.host == name for each in view.name_servers):
        return Owner.NAME_SERVER
    below = any(names.is_under(each.host, name) for each in view.name_servers)
    if below or (len(inner) == 1 and inner[0] in view.site_by_label):
        return Owner.EMPTY
    return None


def addresses(view: MapView, site: int, bucket: int, type_: int) -> tuple[bytes, ...]:
    """The addresses that `site` names for `bucket`, best first."""
    appliances = [view.appliances[index] for index in view.sites[site].row(bucket)]
    found = (each.ipv4 if type_ == Type.A else each.ipv6 for each in appliances)
    return tuple(address for address in found if address)[:ADDRESSES_MAX]


def soa(view: MapView, ttl_s: int) -> Record:
    """SERIAL is the map's revision; MINIMUM the time to live of negative answers (RFC 2308)."""
    mailbox = (b"hostmaster", *view.zone)
    data = (
        names.to_wire(view.name_servers[0].host)
        + names.to_wire(mailbox)
        + struct.pack("!5I", view.revision & 0xFFFFFFFF, *_SOA_TIMERS, view.negative_ttl_s)
    )
    return Record(view.zone, Type.SOA, ttl_s, data)


def _bucket(
    question: Question, bucket: Bucket, view: MapView, class_and_scope: tuple[int, int]
) -> Answer:
    if question.type not in (Type.A, Type.AAAA):
        return _negative(Rcode.NOERROR, view)
    if bucket.site is None:
        ranked, scope = view.classes[class_and_scope[0]], class_and_scope[1]
    else:
        ranked, scope = (bucket.site,), 0
    chosen = next((site for site in ranked if view.sites[site].row(bucket.number)), None)
    if chosen is None:
        soa_record = soa(view, view.negative_ttl_s)
        return Answer(Rcode.NOERROR, authority=(soa_record,), explanation=_NOBODY, nobody=True)
    found = addresses(view, chosen, bucket.number, question.type)
    if not found:
        # Resolvers keep negative answers for everyone (RFC 7871 7.4), so the scope says so.
        return _negative(Rcode.NOERROR, view)
    records = tuple(Record(question.name, question.type, view.ttl_s, each) for each in found)
    return Answer(Rcode.NOERROR, records, scope=scope)


def _apex(question: Question, view: MapView) -> Answer:
    if question.type == Type.SOA:
        return Answer(Rcode.NOERROR, (soa(view, view.static_ttl_s),))
    if question.type == Type.NS:
        servers = tuple(
            Record(view.zone, Type.NS, view.static_ttl_s, names.to_wire(each.host))
            for each in view.name_servers
        )
        inside = [each for each in view.name_servers if names.is_under(each.host, view.zone)]
        glue = tuple(record for each in inside for record in _addresses_of(each, view))
        return Answer(Rcode.NOERROR, servers, additional=glue)
    return _negative(Rcode.NOERROR, view)


def _addresses_of(server: NameServer, view: MapView) -> tuple[Record, ...]:
    both = ((Type.A, server.ipv4), (Type.AAAA, server.ipv6))
    return tuple(Record(server.host, kind, view.static_ttl_s, data) for kind, data in both if data)


def _negative(rcode: Rcode, view: MapView) -> Answer:
    return Answer(rcode, authority=(soa(view, view.negative_ttl_s),))


def _hinfo(owner: Labels, view: MapView) -> Record:
    # RFC 8482 4.2: a small answer to ANY that helps nobody to amplify.
    return Record(owner, Type.HINFO, view.static_ttl_s, b"\x07RFC8482\x00")


def _text(owner: Labels, text: str) -> Record:
    data = text.encode()
    return Record(owner, Type.TXT, 0, bytes((len(data),)) + data, Class.CH)


def _bucket_number(label: bytes, bucket_count: int) -> int | None:
    if len(label) == 5 and label[:1] == b"b" and label[1:].isdigit():
        number = int(label[1:])
        return number if number < bucket_count else None
    return None
