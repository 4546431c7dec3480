"""What to answer a request: HTTP decided over plain values (RFC 9110, RFC 9112).

`read_target` says which object a request target names, `frame` whether the request may stand and
whether its connection lives on, `respond` what is sent for an object. No clock, socket or file: the
connection adds the Date and moves the bytes. A plain GET costs two comparisons here and no
formatting: the head of the whole object is built once, when the object is opened.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sluice_appliance.object_key import InvalidObjectKey, ObjectKey, parse_key
from sluice_appliance.serving.ranges import NoRange, read_range

# RFC 9110, 4.1: "senders and recipients [should] support, at a minimum, URIs with lengths of 8000 octets".
TARGET_BYTES_MAX = 8000
# Twice what browsers and players send, cookies of a careless site included.
HEAD_BYTES_MAX = 16 * 1024
# A GET has no use for a body; what is declared beyond this is not read but refused.
REQUEST_BODY_BYTES_MAX = 64 * 1024

ALLOWED = b"GET, HEAD, OPTIONS"
# Methods that RFC 9110 and RFC 5789 name: known, not allowed here (405). Others are 501.
_KNOWN_METHODS = frozenset((b"POST", b"PUT", b"DELETE", b"CONNECT", b"TRACE", b"PATCH"))

# The fields that change an answer; the connection keeps no others.
FIELDS = frozenset(
    (
        b"host",
        b"connection",
        b"content-length",
        b"transfer-encoding",
        b"expect",
        b"range",
        b"if-range",
        b"if-match",
        b"if-none-match",
    )
)

_REASONS = {
    200: b"200 OK",
    204: b"204 No Content",
    206: b"206 Partial Content",
    304: b"304 Not Modified",
    400: b"400 Bad Request",
    404: b"404 Not Found",
    405: b"405 Method Not Allowed",
    408: b"408 Request Timeout",
    412: b"412 Precondition Failed",
    413: b"413 Content Too Large",
    414: b"414 URI Too Long",
    416: b"416 Range Not Satisfiable",
    417: b"417 Expectation Failed",
    431: b"431 Request Header Fields Too Large",
    500: b"500 Internal Server Error",
    501: b"501 Not Implemented",
    503: b"503 Service Unavailable",
    505: b"505 HTTP Version Not Supported",
}

# Players run in pages of other origins: they may read every byte, length, range and timing of it.
_CROSS_ORIGIN = (
    b"Access-Control-Allow-Origin: *\r\n"
    b"Access-Control-Expose-Headers: Accept-Ranges, Content-Length, Content-Range, Date, ETag\r\n"
    b"Timing-Allow-Origin: *\r\n"
)
_PREFLIGHT = (
    b"HTTP/1.1 204 No Content\r\n"
    b"Allow: " + ALLOWED + b"\r\n"
    b"Access-Control-Allow-Methods: " + ALLOWED + b"\r\n"
    b"Access-Control-Allow-Headers: Range, If-Match, If-None-Match, If-Range, "
    b"CMCD-Object, CMCD-Request, CMCD-Session, CMCD-Status\r\n"
    b"Access-Control-Max-Age: 86400\r\n"
)


class Response(NamedTuple):
    """What to send: a head without Date and end, then `text`, or a range of the object's body."""

    status: int
    head: bytes
    offset: int = 0
    length: int = 0
    text: bytes = b""
    # The connection cannot be trusted to be in step with its peer after this.
    close: bool = False


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What answers need to know of an object, formatted once."""

    size_bytes: int
    etag: bytes
    # Header lines that a 200, 206 and 304 share, and those that describe the body.
    fields: bytes
    content_type: bytes
    whole: Response
    whole_head_only: Response


class Framing(NamedTuple):
    """A request that may stand."""

    keep_alive: bool
    # How many bytes of body follow and are thrown away.
    body_bytes: int


_SERVED = frozenset((b"GET", b"HEAD", b"OPTIONS"))
# Fields without which a request has no body, and what the field says that lets HTTP/1.1 live on.
_BENDING = frozenset((b"content-length", b"transfer-encoding", b"expect"))
_STAYING = frozenset((None, b"keep-alive", b"Keep-Alive"))
_PLAIN = Framing(keep_alive=True, body_bytes=0)


def describe(size_bytes: int, sha256: bytes, content_type: str) -> ObjectFacts:
    """The facts of an object. The entity tag is strong: the digest of its bytes."""
    etag = b'"' + sha256.hex().encode() + b'"'
    fields = (
        b"ETag: " + etag + b"\r\n"
        b"Cache-Control: public, max-age=31536000, immutable\r\n"
        b"Accept-Ranges: bytes\r\n" + _CROSS_ORIGIN
    )
    media = b"Content-Type: " + content_type.encode() + b"\r\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b%b" % (size_bytes, media, fields)
    return ObjectFacts(
        size_bytes, etag, fields, media, Response(200, head, 0, size_bytes), Response(200, head)
    )


def refuse(status: int, sentence: str, *, fields: bytes = b"", close: bool = False) -> Response:
    """An answer of one line of text."""
    text = sentence.encode("ascii", "backslashreplace") + b"\n"
    head = (
        b"HTTP/1.1 %b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
        b"Cache-Control: no-store\r\n%b%b"
    ) % (_REASONS[status], len(text), fields, _CROSS_ORIGIN)
    return Response(status, head, text=text, close=close)


# --- which object -----------------------------------------------------------------------------------

_ABSOLUTE = re.compile(rb"(?i)https?://[^/?#]+")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
# RFC 3986 pchar and "/", and "%" where an escape begins.
_PATH = re.compile(rb"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


def read_target(target: bytes) -> ObjectKey | Response:
    """The object that a request target names (RFC 9112, 3.2), the query left aside; or a refusal:
    400 for what is no target, 404 for one that can name no object."""
    absolute = _ABSOLUTE.match(target)
    path, _, _ = (target[absolute.end() :] if absolute else target).partition(b"?")
    path = path or b"/"
    if not _PATH.fullmatch(path):
        return refuse(400, "the request target is malformed", close=True)
    path = _ESCAPE.sub(lambda escape: bytes((int(escape[1], 16),)), path)
    if _CONTROL.search(path):
        return refuse(400, "the request target has a control character", close=True)
    parts = path[1:].split(b"/")
    if b"." in parts or b".." in parts:
        return refuse(400, "the request target steps out of its path", close=True)
    try:
        return parse_key(path[1:].decode("latin-1"))
    except InvalidObjectKey:
        return absent()


def absent() -> Response:
    return refuse(404, "no such object here")


# --- may it stand -----------------------------------------------------------------------------------


def frame(
    method: bytes, version: str, fields: Mapping[bytes, bytes], target_bytes: int = 0
) -> Framing | Response:
    """Judges a request by its head alone. `fields` has lower-case names, repeated ones joined by `, `."""
    # Nearly every request; the careful way comes to the same.
    host = fields.get(b"host")
    if (
        (version == "1.1" and host is not None and b"," not in host and b" " not in host)
        and (method in _SERVED and target_bytes <= TARGET_BYTES_MAX)
        and (_BENDING.isdisjoint(fields) and fields.get(b"connection") in _STAYING)
    ):
        return _PLAIN
    return _frame_carefully(method, version, fields, target_bytes)


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
    body_bytes = int(fields.get(b"content-length", b"0"))
    if body_bytes > REQUEST_BODY_BYTES_MAX:
        sentence = f"a request body of {body_bytes} bytes, at most {REQUEST_BODY_BYTES_MAX}"
        return refuse(413, sentence, close=True)
    expect = fields.get(b"expect")
    if expect is not None and expect.lower() != b"100-continue":
        return refuse(417, "only 100-continue is expected here", close=True)
    # The body that waits for a 100 is not wanted: the final answer comes at once, and the end.
    unwanted = expect is not None and body_bytes > 0
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
    # RFC 9112, 3.2: 400 "to any HTTP/1.1 request message that lacks a Host header field".
    host = fields.get(b"host")
    if host is None and version == "1.1":
        return "an HTTP/1.1 request names its Host"
    if host is not None and (b"," in host or b" " in host):
        return "a request has one Host"
    if b"transfer-encoding" in fields:
        return "a request to this server has no Transfer-Encoding"
    if not fields.get(b"content-length", b"0").isdigit():
        return "a request has one Content-Length, a number"
    return None


# --- what to send -----------------------------------------------------------------------------------


def preflight() -> Response:
    """The answer to OPTIONS, for any target."""
    return Response(204, _PREFLIGHT + _CROSS_ORIGIN)


def respond(method: bytes, fields: Mapping[bytes, bytes], facts: ObjectFacts) -> Response:
    """The answer to a GET or HEAD of an object that is held. Preconditions in the order of RFC 9110,
    13.2.2; dates are no condition here, for objects have none."""
    if method == b"GET" and len(fields) == 1 and b"host" in fields:
        return facts.whole
    match = fields.get(b"if-match")
    if match is not None and not _names(match, facts.etag, weak=False):
        return refuse(412, "the object is another than If-Match names")
    none_match = fields.get(b"if-none-match")
    if none_match is not None and _names(none_match, facts.etag, weak=True):
        return Response(304, b"HTTP/1.1 304 Not Modified\r\n" + facts.fields)
    if method == b"HEAD":
        return facts.whole_head_only
    asked = fields.get(b"range")
    if asked is None or fields.get(b"if-range", facts.etag) != facts.etag:
        return facts.whole
    return _part(asked, facts)


def _part(asked: bytes, facts: ObjectFacts) -> Response:
    found = read_range(asked, facts.size_bytes)
    if found is NoRange.WHOLE:
        return facts.whole
    if found is NoRange.UNSATISFIABLE:
        fields = b"Content-Range: bytes */%d\r\n" % facts.size_bytes
        return refuse(416, f"the object has {facts.size_bytes} bytes", fields=fields)
    offset, length = found
    head = (
        b"HTTP/1.1 206 Partial Content\r\nContent-Length: %d\r\nContent-Range: bytes %d-%d/%d\r\n%b%b"
    ) % (length, offset, offset + length - 1, facts.size_bytes, facts.content_type, facts.fields)
    return Response(206, head, offset, length)


def _names(condition: bytes, etag: bytes, *, weak: bool) -> bool:
    """Whether `*` or a list of entity tags names `etag` (RFC 9110, 8.8.3.2)."""
    if condition == b"*":
        return True
    tags = (tag.strip(b" \t") for tag in condition.split(b","))
    return any(tag == etag or (weak and tag == b"W/" + etag) for tag in tags)
