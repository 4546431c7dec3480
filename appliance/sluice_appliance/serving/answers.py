"""What an answer is, and those that need no object: refusals and preflights (RFC 9110, 15)."""

from typing import NamedTuple

ALLOWED = b"GET, HEAD, OPTIONS"

_REASONS = {
    200: b"200 OK",
    204: b"204 No Content",
    206: b"206 Partial Content",
    304: b"304 Not Modified",
    400: b"400 Bad Request",
    403: b"403 Forbidden",
    404: b"404 Not Found",
    405: b"405 Method Not Allowed",
    408: b"408 Request Timeout",
    411: b"411 Length Required",
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
    508: b"508 Loop Detected",
}

# Players run in pages of other origins: they may read every byte, length, range and timing of it, and
# how the box came by it. Server-Timing is shown to whom Timing-Allow-Origin names, and is not listed.
CROSS_ORIGIN = (
    b"Access-Control-Allow-Origin: *\r\n"
    b"Access-Control-Expose-Headers: Accept-Ranges, Cache-Status, Content-Length, Content-Range, Date,"
    b" ETag, Repr-Digest, Retry-After\r\n"
    b"Timing-Allow-Origin: *\r\n"
)
# What players add of their own: ranges, conditions, CMCD (CTA-5004), and the token of CTA-5007 where
# it does not stand in the URL.
_PREFLIGHT = (
    b"HTTP/1.1 204 No Content\r\n"
    b"Allow: " + ALLOWED + b"\r\n"
    b"Access-Control-Allow-Methods: " + ALLOWED + b"\r\n"
    b"Access-Control-Allow-Headers: Range, If-Match, If-Modified-Since, If-None-Match, If-Range,"
    b" If-Unmodified-Since, CMCD-Object, CMCD-Request, CMCD-Session, CMCD-Status,"
    b" CTA-Common-Access-Token\r\n"
    b"Access-Control-Max-Age: 86400\r\n" + CROSS_ORIGIN
)


class Part(NamedTuple):
    """One of several pieces of a body: `text`, then a range of the object's body."""

    text: bytes
    offset: int
    length: int


class Response(NamedTuple):
    """What to send: a head without Date and end, then `text`, then a range of the object's body,
    then each part of `rest`. To a HEAD only the head."""

    status: int
    head: bytes
    offset: int = 0
    length: int = 0
    text: bytes = b""
    # The connection cannot be trusted to be in step with its peer after this.
    close: bool = False
    rest: tuple[Part, ...] = ()


def preflight() -> Response:
    """The answer to OPTIONS, for any target."""
    return Response(204, _PREFLIGHT)


def refuse(status: int, sentence: str, *, fields: bytes = b"", close: bool = False) -> Response:
    """An answer of one line of text."""
    text = sentence.encode("ascii", "backslashreplace") + b"\n"
    head = (
        b"HTTP/1.1 %b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
        b"Cache-Control: no-store\r\n%b%b"
    ) % (_REASONS[status], len(text), fields, CROSS_ORIGIN)
    return Response(status, head, text=text, close=close)


def absent() -> Response:
    return refuse(404, "no such object here")


def unreadable() -> Response:
    """It is here, and no copy of it can be read: another box should be asked, and this one later."""
    return refuse(503, "the object cannot be read here")
