"""One client's connection: bytes in, requests in order, heads and bodies out.

What a request for a hot 64 KiB object costs: one `recv`, one `send` of the head with MSG_MORE, one
`sendfile`, a share of one wait of the event loop, and between them about 8 us of Python for a bare
request, about 17 for a browser's of nine fields with a range (tests/benchmarks/serving/python_cost.py).
Nothing of the body is seen by Python. A body that does not fit the socket's buffer waits for the writer;
the reader stays, and is put aside only when a client sends while it is served.
"""

import re
from collections import deque
from typing import Any, NamedTuple, Protocol

import httptools

from sluice_appliance.serving import request, tally
from sluice_appliance.serving.limits import Limits
from sluice_appliance.serving.objects import OpenObject, OpenObjects, StorageFault
from sluice_appliance.serving.request import Framing, Response
from sluice_appliance.serving.wire import Readiness, Wire

# What one connection may send before others have a turn, where its peer takes all at once.
BURST_BYTES = 4 * 1024 * 1024
# After a refusal: what is still read and thrown away before the connection ends.
DISCARDED_BYTES_MAX = 256 * 1024

_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOTHING: dict[bytes, bytes] = {}


class Host(Protocol):
    """What a connection needs of its worker. `now` and the tails are renewed a few times a second."""

    loop: Readiness
    objects: OpenObjects
    limits: Limits
    row: "memoryview[int]"
    now: float
    draining: bool
    # The Date field and the end of a head: to stay, to close, to stay for an HTTP/1.0 client.
    tail: bytes
    tail_close: bytes
    tail_keep_alive: bytes

    def gone(self, connection: "Connection") -> None: ...


class Asked(NamedTuple):
    """A request that was read: what was asked, or how it is refused."""

    method: bytes
    target: bytes = b""
    fields: dict[bytes, bytes] = _NOTHING
    refusal: Response | None = None
    http_1_0: bool = False


class Connection:
    """Driven by the event loop through `on_readable` and `on_writable`, by the worker's clock through
    `check`. httptools calls `on_url`, `on_header` and `on_headers_complete`."""

    __slots__ = (
        "_closed",
        "_discarded_bytes",
        "_ending",
        "_fields",
        "_finished",
        "_head",
        "_head_bytes",
        "_host",
        "_in_head",
        "_later_bytes",
        "_length",
        "_offset",
        "_parser",
        "_queue",
        "_reading",
        "_row",
        "_since",
        "_source",
        "_target",
        "_wire",
        "_writing",
    )

    def __init__(self, host: Host, wire: Wire) -> None:
        self._host = host
        self._wire = wire
        self._row = host.row
        self._since = host.now
        self._parser: Any = httptools.HttpRequestParser(self)
        self._closed = False
        self._queue: deque[Asked] = deque()
        self._in_head = False
        # Of the head being read: what names and values say, and what came after its first read.
        self._head_bytes = 0
        self._later_bytes = 0
        self._target = b""
        self._fields: dict[bytes, bytes] = {}
        # No request is read any more; what was asked before is still answered.
        self._ending = False
        # Our last byte went out; we wait for the client to close.
        self._finished = False
        self._discarded_bytes = 0
        # What is being sent: what is left of the head, then of the body.
        self._head = b""
        self._source: OpenObject | None = None
        self._offset = 0
        self._length = 0
        self._writing = False
        self._reading = True
        host.loop.add_reader(wire.fd, self.on_readable)

    # --- the event loop's calls -------------------------------------------------------------------

    def on_readable(self) -> None:
        if self._head or self._length or self._queue:
            # It asks ahead of what it has taken: read on when it has taken it.
            self._host.loop.remove_reader(self._wire.fd)
            self._reading = False
            return
        try:
            data = self._wire.receive()
        except OSError:
            self.close()
            return
        if data:
            if self._ending:
                self._discard(len(data))
            else:
                self._feed(data)
                self._advance()
        elif data is not None:
            # All that it asked for is sent: while something is not, nothing is read.
            self.close()

    def on_writable(self) -> None:
        self._advance()

    def check(self) -> None:
        """Called every now and then: ends what takes too long."""
        waited_s, limits = self._host.now - self._since, self._host.limits
        if self._finished:
            if waited_s > limits.close_s:
                self._time_out(tally.TIMEOUT_CLOSE)
        elif self._head or self._length:
            if waited_s > limits.write_s:
                self._time_out(tally.TIMEOUT_WRITE)
        elif self._in_head:
            if waited_s > limits.head_s:
                self._row[tally.TIMEOUT_HEAD] += 1
                sentence = f"the request head took more than {limits.head_s:g} s"
                self._refuse(request.refuse(408, sentence, close=True))
                self._advance()
        elif self._host.draining or waited_s > limits.request_s:
            if not self._host.draining:
                self._row[tally.TIMEOUT_REQUEST] += 1
            self.close()

    def close(self) -> None:
        """Ends it at once, whatever is unsent."""
        if self._closed:
            return
        self._closed = True
        if self._head or self._length or self._queue:
            self._row[tally.BROKEN_OFF] += 1
        self._stop_writing()
        self._host.loop.remove_reader(self._wire.fd)
        self._wire.close()
        self._let_go()
        self._queue.clear()
        # The parser holds our methods: without this the cycle waits for the collector.
        self._parser = None
        self._host.gone(self)

    # --- reading requests -------------------------------------------------------------------------

    def _feed(self, data: bytes) -> None:
        began_earlier = self._in_head
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # An offer of another protocol is not taken up; what follows would be that protocol.
            self._ending = True
        except httptools.HttpParserError as error:
            self._misread(error, b"" if began_earlier else data)
        if self._in_head and not self._ending:
            if began_earlier:
                self._later_bytes += len(data)
            else:
                self._since = self._host.now
            self._judge_size()

    def on_message_begin(self) -> None:
        self._in_head = True
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
        self._in_head = False
        if self._ending:
            return
        self._row[tally.REQUESTS] += 1
        if self._head_bytes > request.HEAD_BYTES_MAX:
            self._row[tally.REFUSED_HEAD_TOO_LARGE] += 1
            self._refuse(request.too_large_head(), method)
            return
        framing = request.frame(method, version, fields, len(target))
        if isinstance(framing, Framing):
            if not framing.keep_alive:
                self._ending = True
            self._queue.append(Asked(method, target, fields, None, version == "1.0"))
        else:
            self._count_refusal(framing.status)
            self._refuse(framing, method)

    def _misread(self, error: httptools.HttpParserError, beginning: bytes) -> None:
        """What the parser will not read. `beginning` has the message's first bytes, where known."""
        if isinstance(error, httptools.HttpParserCallbackError):
            raise error
        self._in_head = False
        if self._ending:
            return
        if str(error) == "Invalid HTTP version":
            self._refuse(request.refuse(505, "only HTTP/1.1 is served here", close=True))
            return
        if isinstance(error, httptools.HttpParserInvalidMethodError) and not self._queue:
            method = _METHOD.match(beginning)
            if method and beginning[method.end() : method.end() + 1] == b" ":
                self._refuse(request.refuse_method(method[0]))
                return
        self._row[tally.REFUSED_MALFORMED] += 1
        reason = str(error) if isinstance(error.args[0], str) else "no HTTP"
        self._refuse(request.refuse(400, f"the request is malformed: {reason}", close=True))

    def _judge_size(self) -> None:
        if len(self._target) > request.TARGET_BYTES_MAX:
            self._row[tally.REFUSED_TARGET_TOO_LONG] += 1
            self._refuse(request.too_long_target())
        elif max(self._head_bytes, self._later_bytes) > request.HEAD_BYTES_MAX:
            self._row[tally.REFUSED_HEAD_TOO_LARGE] += 1
            self._refuse(request.too_large_head())

    def _count_refusal(self, status: int) -> None:
        if status == 400:
            self._row[tally.REFUSED_MALFORMED] += 1
        elif status == 413:
            self._row[tally.REFUSED_BODY_TOO_LARGE] += 1
        elif status == 414:
            self._row[tally.REFUSED_TARGET_TOO_LONG] += 1

    def _refuse(self, refusal: Response, method: bytes = b"") -> None:
        self._in_head = False
        self._ending = self._ending or refusal.close
        self._queue.append(Asked(method, refusal=refusal))

    def _discard(self, size_bytes: int) -> None:
        self._discarded_bytes += size_bytes
        if self._discarded_bytes > DISCARDED_BYTES_MAX:
            self.close()

    # --- sending responses ------------------------------------------------------------------------

    def _advance(self) -> None:
        """Sends until nothing is left to send, the peer takes no more, or others should have a turn."""
        burst = BURST_BYTES
        while True:
            if self._head or self._length:
                burst = self._send(burst)
                if self._head or self._length or self._closed:
                    return
                self._let_go()
            if self._queue:
                self._begin(self._queue.popleft())
                continue
            break
        if self._ending:
            self._finish()
            return
        self._stop_writing()
        if not self._reading:
            self._reading = True
            self._host.loop.add_reader(self._wire.fd, self.on_readable)
        if self._wire.has_pending():
            self.on_readable()

    def _begin(self, asked: Asked) -> None:
        host = self._host
        response = self._answer(asked)
        self._row[tally.RESPONSES[response.status // 100]] += 1
        if response.close or host.draining:
            self._ending = True
            self._queue.clear()
        if self._ending and not self._queue:
            tail = host.tail_close
        else:
            tail = host.tail_keep_alive if asked.http_1_0 else host.tail
        self._head = response.head + tail
        if response.text and asked.method != b"HEAD":
            self._head += response.text
        self._offset, self._length = response.offset, response.length

    def _answer(self, asked: Asked) -> Response:
        if asked.refusal is not None:
            return asked.refusal
        if asked.method == b"OPTIONS":
            return request.preflight()
        found = self._host.objects.find(asked.target, self._host.now)
        if isinstance(found, Response):
            return found
        response = request.respond(asked.method, asked.fields, found.facts)
        if response.length:
            found.users += 1
            self._source = found
        return response

    def _send(self, burst: int) -> int:
        """Sends of head and body what the peer takes, `burst` bytes at most; returns what is left of
        the burst. Where something is left to send, the writer is set or the connection is closed."""
        wire = self._wire
        try:
            if self._head:
                sent = wire.send(self._head, more=self._length > 0)
                self._head = self._head[sent:]
            if not self._head:
                burst = self._send_body(burst)
        except StorageFault:
            self._row[tally.REFUSED_STORAGE] += 1
            self.close()
            return 0
        except OSError:
            self.close()
            return 0
        if self._head or self._length:
            self._start_writing()
        self._since = self._host.now
        return burst

    def _send_body(self, burst: int) -> int:
        wire, source, length = self._wire, self._source, self._length
        if source is None:
            return burst
        offset, end = self._offset, self._offset + length
        try:
            while offset < end and burst > 0:
                sent = wire.send_body(source, offset, min(end - offset, burst))
                if not sent:
                    break
                offset += sent
                burst -= sent
        finally:
            self._row[tally.BODY_BYTES] += offset - self._offset
            self._offset, self._length = offset, end - offset
        return burst

    def _finish(self) -> None:
        self._finished = True
        self._since = self._host.now
        self._stop_writing()
        try:
            self._wire.finish()
        except OSError:
            self.close()
            return
        if not self._reading:
            self._reading = True
            self._host.loop.add_reader(self._wire.fd, self.on_readable)

    def _start_writing(self) -> None:
        if not self._writing:
            self._writing = True
            self._host.loop.add_writer(self._wire.fd, self.on_writable)

    def _stop_writing(self) -> None:
        if self._writing:
            self._writing = False
            self._host.loop.remove_writer(self._wire.fd)

    def _let_go(self) -> None:
        source, self._source = self._source, None
        self._head, self._length = b"", 0
        if source is not None:
            source.release()

    def _time_out(self, cell: int) -> None:
        self._row[cell] += 1
        self.close()
