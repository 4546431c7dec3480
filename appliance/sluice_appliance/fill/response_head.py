"""The head of a response of HTTP/1.1, and how its body is told from what follows (RFC 9112, 6.3).

httptools (llhttp) parses it, and refuses what could be read in two ways: a length beside chunks, two lengths.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import httptools
from multidict import CIMultiDict

# More than any server sends; a source that sends more is no source.
HEAD_BYTES_MAX = 64 * 1024
END_OF_HEAD = b"\r\n\r\n"


class HeadMalformed(Exception):
    """What came is no head of a response. Leave the source."""


@dataclass(frozen=True, slots=True)
class ResponseHead:
    status: int
    # Found whatever the case of their names.
    headers: Mapping[str, str]
    # None where it ends with its last chunk, or with the connection.
    body_bytes: int | None
    is_chunked: bool
    # Whether the connection takes another request when the body is over.
    keeps_alive: bool

    @property
    def is_informational(self) -> bool:
        """Another head follows (RFC 9110, 15.2)."""
        return 100 <= self.status < 200


def parse_head(head: bytes) -> ResponseHead:
    """`head`: up to and with the empty line. Raises HeadMalformed."""
    seen = _Seen()
    parser = httptools.HttpResponseParser(seen)
    try:
        parser.feed_data(head)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
        raise HeadMalformed(f"the response has no head of HTTP: {error}") from None
    if not seen.is_complete:
        raise HeadMalformed("the response has no head of HTTP: it is cut")
    is_chunked = seen.headers.get("Transfer-Encoding", "").strip().lower() == "chunked"
    if not is_chunked and "Transfer-Encoding" in seen.headers:
        raise HeadMalformed(f"Transfer-Encoding is {seen.headers['Transfer-Encoding']!r}")
    said = seen.headers.get("Content-Length", "")
    return ResponseHead(
        int(parser.get_status_code()),
        seen.headers,
        None if is_chunked or not said else int(said),
        is_chunked,
        bool(parser.should_keep_alive()),
    )


class Chunks:
    """The body of a response that comes in chunks, as its bytes come (RFC 9112, 7.1)."""

    def __init__(self, head: bytes) -> None:
        """`head`: one that `parse_head` read."""
        self.is_over = False
        self._pieces: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)
        self._parser.feed_data(head)

    def feed(self, data: bytes | memoryview) -> bytes:
        """What of it is the body's. Raises HeadMalformed."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise HeadMalformed(f"the response's chunks: {error}") from None
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)

    def on_body(self, piece: bytes) -> None:
        """httptools calls it."""
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """httptools calls it."""
        self.is_over = True


class _Seen:
    """httptools calls the methods named `on_`."""

    def __init__(self) -> None:
        self.headers: CIMultiDict[str] = CIMultiDict()
        self.is_complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        # Bytes that are no ASCII mean nothing here, and are kept as they are (RFC 9110, 5.5).
        self.headers.add(name.decode("latin-1"), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        self.is_complete = True
