"""Several ranges in one answer: `multipart/byteranges` (RFC 9110, 14.6), without a byte of the body.

Each part's head is built here, some 200 bytes and 2 us; the connection sends heads and ranges in turn.
"""

from collections.abc import Sequence

from sluice_appliance.serving.answers import Part, Response
from sluice_appliance.serving.ranges import Span


def byteranges(
    spans: Sequence[Span], size_bytes: int, boundary: bytes, content_type: bytes, fields: bytes
) -> Response:
    """The 206 for two spans or more. `content_type` and `fields` are whole header lines.

    The boundary must not occur in the body: part of the body's own digest does not, but by a chance
    that nobody meets, and stays the same for caches that compare.
    """
    opening = b"--%b\r\n%bContent-Range: bytes %%d-%%d/%d\r\n\r\n" % (
        boundary,
        content_type.replace(b"%", b"%%"),
        size_bytes,
    )
    parts = [
        Part((b"\r\n" if place else b"") + opening % (offset, offset + length - 1), offset, length)
        for place, (offset, length) in enumerate(spans)
    ]
    parts.append(Part(b"\r\n--%b--\r\n" % boundary, 0, 0))
    first, *rest = parts
    # RFC 9110, 15.3.7.2: "a server MUST NOT generate a Content-Range header field in the HTTP header
    # section of a multiple part response".
    head = (
        b"HTTP/1.1 206 Partial Content\r\nContent-Length: %d\r\n"
        b"Content-Type: multipart/byteranges; boundary=%b\r\n%b"
    ) % (sum(len(part.text) + part.length for part in parts), boundary, fields)
    return Response(206, head, first.offset, first.length, first.text, rest=tuple(rest))
