"""What to answer a request: HTTP decided over plain values (RFC 9110, RFC 9112).

`frame` decides whether a request may stand and whether its connection lives on, `respond` what is sent
for an object; `target.py` which object that is. No clock, socket or file: the connection adds the
Date and moves the bytes. A plain GET costs two comparisons here and no formatting, for the head of the
whole object is built once, when the object is opened; a range costs one regular expression and one
formatting (tests/benchmarks/serving/python_cost.py).
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, assert_never

from sluice_appliance.serving.answers import (
    ALLOWED,
    CROSS_ORIGIN,
    Part,
    Response,
    absent,
    preflight,
    refuse,
)
from sluice_appliance.serving.cmcd import FIELDS as CMCD_FIELDS
from sluice_appliance.serving.conditions import CONDITIONS, Verdict, is_same, weigh, write_date
from sluice_appliance.serving.multipart import byteranges
from sluice_appliance.serving.ranges import PARTS_MAX, NoRange, read_ranges
from sluice_appliance.serving.target import answer_options, is_host, read_target

__all__ = [
    "FIELDS",
    "HEAD_BYTES_MAX",
    "PLAIN",
    "REQUEST_BODY_BYTES_MAX",
    "TARGET_BYTES_MAX",
    "Framing",
    "ObjectFacts",
    "Part",
    "Response",
    "absent",
    "answer_options",
    "describe",
    "frame",
    "keeps_alive",
    "preflight",
    "read_target",
    "refuse",
    "refuse_method",
    "respond",
    "too_large_head",
    "too_long_target",
]

# RFC 9110, 4.1: "senders and recipients [should] support, at a minimum, URIs with lengths of 8000 octets".
TARGET_BYTES_MAX = 8000
# Twice what browsers and players send, cookies of a careless site included.
HEAD_BYTES_MAX = 16 * 1024
# A GET has no use for a body; what is declared beyond this is not read but refused.
REQUEST_BODY_BYTES_MAX = 64 * 1024
# A box is asked by few names; one that is not among them is read again.
_HOSTS_REMEMBERED = 64

# Methods that RFC 9110 and RFC 5789 name: known, not allowed here (405). Others are 501.
_KNOWN_METHODS = frozenset((b"POST", b"PUT", b"DELETE", b"CONNECT", b"TRACE", b"PATCH"))

# The fields that change an answer, or that records tell of; the connection keeps no others.
FIELDS = CONDITIONS | frozenset(
    (
        *CMCD_FIELDS,
        b"host",
        b"connection",
        b"content-length",
        b"transfer-encoding",
        b"expect",
        b"range",
        b"if-range",
        b"cdn-loop",
    )
)


class Framing(NamedTuple):
    """A request that may stand."""

    keep_alive: bool
    # How many bytes of body follow and are thrown away.
    body_bytes: int


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What answers need to know of an object, formatted once."""

    size_bytes: int
    etag: bytes
    # Unix seconds, 0 where it is not known.
    modified: int
    # Header lines that a 200, 206 and 304 share, and the one that says what the bytes are.
    fields: bytes
    content_type: bytes
    # Between the parts of a body.
    boundary: bytes
    whole: Response
    whole_head_only: Response
    # The head of a 206, to be filled in with a length, a first and a last position.
    part_head: bytes


_SERVED = frozenset((b"GET", b"HEAD", b"OPTIONS"))
# Fields without which a request has no body, and what the field says that lets HTTP/1.1 live on.
_BENDING = frozenset((b"content-length", b"transfer-encoding", b"expect"))
_STAYING = frozenset((None, b"keep-alive", b"Keep-Alive"))
LEAVING = b"close"
PLAIN = Framing(keep_alive=True, body_bytes=0)
LAST = Framing(keep_alive=False, body_bytes=0)


# --- may it stand -----------------------------------------------------------------------------------


def frame(
    method: bytes, version: str, fields: Mapping[bytes, bytes], target_bytes: int = 0
) -> Framing | Response:
    """Judges a request by its head alone. `fields` has lower-case names, repeated ones joined by `, `."""
    # Nearly every request; the careful way comes to the same.
    host = fields.get(b"host")
    if (
        (version == "1.1" and host is not None and _is_host(host))
        and (method in _SERVED and target_bytes <= TARGET_BYTES_MAX)
        and _BENDING.isdisjoint(fields)
    ):
        connection = fields.get(b"connection")
        if connection in _STAYING:
            return PLAIN
        if connection == LEAVING:
            return LAST
    return _frame_carefully(method, version, fields, target_bytes)


def is_leaving(fields: Mapping[bytes, bytes]) -> bool:
    """Of a request that `frame` found plain or the last: whether it was the last."""
    return fields.get(b"connection") == LEAVING


_is_host = lru_cache(_HOSTS_REMEMBERED)(is_host)


def _frame_carefully(
    method: bytes, version: str, fields: Mapping[bytes, bytes], target_bytes: int
) -> Framing | Response:
    if version not in {"1.1", "1.0"}:
        return refuse(505, f"HTTP/{version} is not served here, expected HTTP/1.1", close=True)
    if target_bytes > TARGET_BYTES_MAX:
        return too_long_target()
    if malformed := _malformed(version, fields):
        return refuse(400, malformed, close=True)
    if method not in _SERVED:
        return refuse_method(method)
    if b"transfer-encoding" in fields:
        return _refuse_transfer(fields)
    # Of a longer number these digits are too many already.
    body_bytes = int(_length(fields).lstrip(b"0")[:20] or b"0")
    if body_bytes > REQUEST_BODY_BYTES_MAX:
        sentence = f"a request body of {body_bytes} bytes, at most {REQUEST_BODY_BYTES_MAX}"
        return refuse(413, sentence, close=True)
    expect = fields.get(b"expect")
    if expect is not None and expect.strip(b" \t").lower() != b"100-continue":
        return refuse(417, "only 100-continue is expected here", close=True)
    # The body that waits for a 100 is not wanted: the final answer comes at once, and the end. RFC 9110,
    # 10.1.1: in HTTP/1.0 the expectation is ignored.
    unwanted = expect is not None and version == "1.1" and body_bytes > 0
    keep_alive = not unwanted and keeps_alive(version, fields.get(b"connection", b""))
    return Framing(keep_alive, 0 if unwanted else body_bytes)


def keeps_alive(version: str, connection: bytes) -> bool:
    """RFC 9112, 9.3."""
    options = {option.strip(b" \t").lower() for option in connection.split(b",")}
    if b"close" in options:
        return False
    return version == "1.1" or b"keep-alive" in options


def refuse_method(method: bytes) -> Response:
    """405 for a method that HTTP knows, 501 for any other token; the connection ends, for what
    follows may be a body."""
    name = method[:40].decode("latin-1")
    if method in _KNOWN_METHODS:
        allow = b"Allow: " + ALLOWED + b"\r\n"
        return refuse(405, f"{name} is not allowed here", fields=allow, close=True)
    return refuse(501, f"{name} is not a method of this server", close=True)


def too_long_target() -> Response:
    return refuse(414, f"the request target is over {TARGET_BYTES_MAX} bytes", close=True)


def too_large_head() -> Response:
    return refuse(431, f"the request head is over {HEAD_BYTES_MAX} bytes", close=True)


def _malformed(version: str, fields: Mapping[bytes, bytes]) -> str | None:
    # RFC 9112, 3.2: 400 "to any HTTP/1.1 request message that lacks a Host header field and to any
    # request message that contains more than one Host header field line or a Host header field with an
    # invalid field value".
    host = fields.get(b"host")
    if host is None and version == "1.1":
        return "an HTTP/1.1 request names its Host"
    if host is not None and not is_host(host):
        return "a request has one Host, a name or address"
    if not _length(fields).isdigit():
        return "a request has one Content-Length, a number"
    if b"transfer-encoding" not in fields:
        return None
    # RFC 9112, 6.1: with both, "such a message might indicate an attempt to perform request smuggling";
    # and in HTTP/1.0 it is to be treated "as if the framing is faulty".
    if b"content-length" in fields or version == "1.0":
        return "a Transfer-Encoding stands neither beside a Content-Length nor in HTTP/1.0"
    # RFC 9112, 6.3: where chunked is not the final coding, "the message body length cannot be determined
    # reliably; the server MUST respond with the 400 (Bad Request) status code".
    *_, last = codings = _codings(fields)
    if last != b"chunked" or codings.count(last) > 1:
        return "the last transfer coding of a request is chunked, and no other"
    return None


def _refuse_transfer(fields: Mapping[bytes, bytes]) -> Response:
    """RFC 9112, 6.3 lets a server that wants to know a body's length beforehand ask for it by 411; other
    codings than chunked are 501 (6.1)."""
    if len(_codings(fields)) > 1:
        return refuse(501, "chunked is the only transfer coding known here", close=True)
    return refuse(411, "a request to this server declares its Content-Length", close=True)


def _length(fields: Mapping[bytes, bytes]) -> bytes:
    return fields.get(b"content-length", b"0").strip(b" \t")


def _codings(fields: Mapping[bytes, bytes]) -> list[bytes]:
    return [coding.strip(b" \t").lower() for coding in fields[b"transfer-encoding"].split(b",")]


# --- what to send -----------------------------------------------------------------------------------


def describe(size_bytes: int, sha256: bytes, content_type: str, modified: int = 0) -> ObjectFacts:
    """The facts of an object. The entity tag is strong: the digest of its bytes. `modified` is in Unix
    seconds; at 0 nothing is said of it."""
    digest = sha256.hex().encode()
    etag = b'"' + digest + b'"'
    fields = b"".join(
        (
            b"ETag: " + etag + b"\r\n",
            b"Last-Modified: " + write_date(modified) + b"\r\n" if modified else b"",
            # RFC 9530, 3: of the whole representation, whichever part of it is sent.
            b"Repr-Digest: sha-256=:" + b64encode(sha256) + b":\r\n",
            b"Cache-Control: public, max-age=31536000, immutable\r\n",
            b"Accept-Ranges: bytes\r\n",
            CROSS_ORIGIN,
        )
    )
    media = b"Content-Type: " + content_type.encode() + b"\r\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b%b" % (size_bytes, media, fields)
    part_head = (
        b"HTTP/1.1 206 Partial Content\r\nContent-Length: %%d\r\n"
        b"Content-Range: bytes %%d-%%d/%d\r\n%b"
        % (
            size_bytes,
            (media + fields).replace(b"%", b"%%"),
        )
    )
    return ObjectFacts(
        size_bytes,
        etag,
        modified,
        fields,
        media,
        # As long as RFC 2046 lets it be, and long enough.
        boundary=b"sluice-" + digest[:32],
        whole=Response(200, head, 0, size_bytes),
        whole_head_only=Response(200, head),
        part_head=part_head,
    )


def respond(method: bytes, fields: Mapping[bytes, bytes], facts: ObjectFacts) -> Response:
    """The answer to a GET or HEAD of an object that is held, in the order of RFC 9110, 13.2.2."""
    if method == b"GET" and len(fields) == 1 and b"host" in fields:
        return facts.whole
    if not CONDITIONS.isdisjoint(fields):
        match weigh(fields, facts.etag, facts.modified):
            case Verdict.FAILED:
                return refuse(412, "the object is another than the request's conditions name")
            case Verdict.NOT_MODIFIED:
                return Response(304, b"HTTP/1.1 304 Not Modified\r\n" + facts.fields)
            case Verdict.PROCEED:
                pass
    # RFC 9110, 14.2: Range is defined for GET alone, so that a HEAD tells of the whole object.
    if method == b"HEAD":
        return facts.whole_head_only
    asked = fields.get(b"range")
    if asked is None or (b"if-range" in fields and not is_same(fields[b"if-range"], facts.etag)):
        return facts.whole
    return _respond_range(asked, facts)


def _respond_range(asked: bytes, facts: ObjectFacts) -> Response:
    found = read_ranges(asked, facts.size_bytes)
    if isinstance(found, NoRange):
        return _respond_no_range(found, facts)
    if len(found) > 1:
        return byteranges(found, facts.size_bytes, facts.boundary, facts.content_type, facts.fields)
    ((offset, length),) = found
    return Response(206, facts.part_head % (length, offset, offset + length - 1), offset, length)


def _respond_no_range(why: NoRange, facts: ObjectFacts) -> Response:
    size = b"Content-Range: bytes */%d\r\n" % facts.size_bytes
    match why:
        case NoRange.WHOLE:
            return facts.whole
        case NoRange.UNSATISFIABLE:
            return refuse(416, f"the object has {facts.size_bytes} bytes", fields=size)
        case NoRange.TOO_MANY:
            return refuse(416, f"at most {PARTS_MAX} ranges are sent at once", fields=size)
        case _:
            assert_never(why)
