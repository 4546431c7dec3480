"""Bytes of one client into requests, in order: httptools (llhttp) parses, `request.frame` judges.

A reader lives from the first byte of a head that `memo` does not know to the end of its message, so
that an idle connection holds none.
"""

import re
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

import httptools

from sluice_appliance.serving import request, tally
from sluice_appliance.serving.memo import HeadMemo
from sluice_appliance.serving.request import Framing, Response

_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOTHING: Mapping[bytes, bytes] = {}


class Asked(NamedTuple):
    """A request that was read: what was asked, or how it is refused."""

    method: bytes
    target: bytes = b""
    fields: Mapping[bytes, bytes] = _NOTHING
    refusal: Response | None = None
    http_1_0: bool = False
    # The last of its connection: what follows is not read as a request.
    last: bool = False


class RequestReader:
    """`feed` it what comes; take requests from `queue`. httptools calls the methods named `on_`."""

    __slots__ = (
        "_fields",
        "_head_bytes",
        "_later_bytes",
        "_memo",
        "_parser",
        "_row",
        "_single",
        "_target",
        "_whole",
        "ending",
        "in_head",
        "in_message",
        "queue",
    )

    def __init__(self, row: "memoryview[int]", memo: HeadMemo) -> None:
        self.queue: deque[Asked] = deque()
        # No request is read any more; what was asked before is still answered.
        self.ending = False
        self.in_head = False
        self.in_message = False
        self._row = row
        self._memo = memo
        self._parser: Any = httptools.HttpRequestParser(self)
        # Of the head being read: what names and values say, and what came after its first read.
        self._head_bytes = 0
        self._later_bytes = 0
        self._target = b""
        self._fields: dict[bytes, bytes] = {}
        # What one read brought: heads that ended in it, and whether the last was the last of its bytes.
        self._whole: list[Mapping[bytes, bytes]] = []

    def feed(self, data: bytes) -> None:
        began_earlier = self.in_message
        in_head_earlier = self.in_head
        self._whole.clear()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # An offer of another protocol is not taken up; what follows would be that protocol.
            self.ending = True
        except httptools.HttpParserError as error:
            self._misread(error, b"" if in_head_earlier else data)
        if self.in_head and not self.ending:
            if in_head_earlier:
                self._later_bytes += len(data)
            self._judge_size()
        elif len(self._whole) == 1 and not (began_earlier or self.in_message):
            fields = self._whole[0]
            # Unless there is another reason for which nothing more is read.
            if self.ending == request.is_leaving(fields):
                self._memo.learn(data, fields)

    @property
    def idle(self) -> bool:
        """Whether it may be let go: between messages, nothing waits."""
        return not (self.in_message or self.ending or self.queue)

    def time_out(self, head_s: float) -> None:
        """The head being read took too long."""
        self._row[tally.TIMEOUT_HEAD] += 1
        sentence = f"the request head took more than {head_s:g} s"
        self._refuse(request.refuse(408, sentence, close=True))

    def close(self) -> None:
        """The parser holds our methods: without this the cycle waits for the collector."""
        self._parser = None

    # --- the parser's calls -----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.in_head = self.in_message = True
        self._head_bytes = self._later_bytes = 0

    def on_url(self, piece: bytes) -> None:
        self._target += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value) + 4
        name = name.lower()
        if name in request.FIELDS:
            fields = self._fields
            fields[name] = fields[name] + b", " + value if name in fields else value

    def on_headers_complete(self) -> None:
        method, version = self._parser.get_method(), self._parser.get_http_version()
        target, fields = self._target, self._fields
        self._target, self._fields = b"", {}
        self.in_head = False
        if self.ending:
            return
        self._row[tally.REQUESTS] += 1
        if self._head_bytes > request.HEAD_BYTES_MAX:
            self._refuse(request.too_large_head(), method)
            return
        framing = request.frame(method, version, fields, len(target))
        if isinstance(framing, Framing):
            last = not framing.keep_alive
            self.ending = last
            self.queue.append(Asked(method, target, fields, None, version == "1.0", last))
            if method != b"GET" or framing not in (request.PLAIN, request.LAST):
                return
            if version == "1.1":
                self._whole.append(fields)
            elif last:
                # RFC 9112, 9.3: as if it had said so.
                self._whole.append({**fields, b"connection": request.LEAVING})
        else:
            self._refuse(framing, method)

    def on_message_complete(self) -> None:
        self.in_message = False

    # --- refusals ---------------------------------------------------------------------------------

    def _misread(self, error: httptools.HttpParserError, beginning: bytes) -> None:
        """What the parser will not read. `beginning` has the message's first bytes, where known."""
        if isinstance(error, httptools.HttpParserCallbackError):
            raise error
        self.in_head = False
        if self.ending:
            return
        if str(error) == "Invalid HTTP version":
            self._refuse(request.refuse(505, "only HTTP/1.1 is served here", close=True))
            return
        if isinstance(error, httptools.HttpParserInvalidMethodError) and not self.queue:
            method = _METHOD.match(beginning)
            if method and beginning[method.end() : method.end() + 1] == b" ":
                self._refuse(request.refuse_method(method[0]))
                return
        reason = str(error) if isinstance(error.args[0], str) else "no HTTP"
        self._refuse(request.refuse(400, f"the request is malformed: {reason}", close=True))

    def _judge_size(self) -> None:
        """A head that is not whole yet may be too large already: the parser keeps what is unfinished."""
        if len(self._target) > request.TARGET_BYTES_MAX:
            self._refuse(request.too_long_target())
        elif max(self._head_bytes, self._later_bytes) > request.HEAD_BYTES_MAX:
            self._refuse(request.too_large_head())

    def _refuse(self, refusal: Response, method: bytes = b"") -> None:
        self.in_head = False
        self.ending = self.ending or refusal.close
        self.queue.append(Asked(method, refusal=refusal, last=refusal.close))
