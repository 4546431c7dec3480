"""One client's connection: bytes in, requests in order, heads and bodies out.

What a request for bytes in memory costs: one `recv`; one `send` of head and body (beyond 32 KiB a `send`
of the head with MSG_MORE, then `sendfile`, when the connection's first 512 KiB have been copied to it); a share of one `epoll_wait`; and Python between them: 1 us
where the same bytes asked a moment ago, 5 us where the header block is known, 10 with a range, some 17
us on the long way (tests/benchmarks/serving/python_cost.py). The socket stands in the poller for both
directions from first to last: waiting for a client costs no call. A client that asks once and leaves costs
an `accept`, an `epoll_ctl` and a `close` beside that, and its answer and its end share a packet. A body whose next bytes are not in
memory waits for a thread to read them (`cold_reads.py`), and no one else waits with it.
"""

from sluice_appliance.serving import tally
from sluice_appliance.serving.answering import Answer, Waits
from sluice_appliance.serving.cache_status import Outcome, server_timing_field
from sluice_appliance.serving.cold_reads import Pending
from sluice_appliance.serving.events import HUNG_UP, INCOMING, OUTGOING
from sluice_appliance.serving.host import Host
from sluice_appliance.serving.hot import HotAnswer
from sluice_appliance.serving.memo import Fields
from sluice_appliance.serving.outgoing import Outgoing, Progress
from sluice_appliance.serving.pulled import PullFailed, PullWait
from sluice_appliance.serving.reader import Asked, RequestReader
from sluice_appliance.serving.request import is_leaving
from sluice_appliance.serving.slowness import Pace, idle_s
from sluice_appliance.serving.spoilt import StorageFault
from sluice_appliance.serving.tcp_path import FIXED, LOOK_EVERY_STALLS
from sluice_appliance.serving.wire import RECEIVE_BYTES, Wire

# What one connection may send before others have a turn, where its peer takes all at once.
BURST_BYTES = 4 * 1024 * 1024
# After a refusal: what is still read and thrown away before the connection ends.
DISCARDED_BYTES_MAX = 256 * 1024

_NOBODY = Asked(b"")


class Connection:
    """Driven by the poller through `on_event`, by the worker's clock through `check`, by threads that
    read for it through `_woken`."""

    __slots__ = (
        *("_asked", "_began_at", "_closed", "_discarded_bytes", "_ending", "_finished"),
        *("_from_disk", "_host", "_hung_up", "_idle", "_ordinal", "_out"),
        *("_pace", "_readable", "_reader", "_since", "_stalls", "_starved"),
        *("_unsent_bytes", "_waiting", "_wire", "client"),
    )

    def __init__(self, host: Host, wire: Wire, client: str) -> None:
        self.client = client
        self._host = host
        self._wire = wire
        self._since = host.now
        self._closed = False
        # What the poller said of the socket and has not been found otherwise since.
        self._readable = self._hung_up = False
        # Between two requests: nothing is read, answered or sent.
        self._idle = True
        # Only while a request is read that is not one known read.
        self._reader: RequestReader | None = None
        # No request is read any more; what was asked before is still answered.
        self._ending = False
        # Our last byte went out; we wait for the client to close.
        self._finished = False
        self._discarded_bytes = 0
        # The request that is answered, when that began, and its response on the way.
        self._asked = _NOBODY
        self._began_at, self._ordinal = 0.0, 0
        self._out: Outgoing | None = None
        # A disk is asked for what comes next; or would be, if it had not too much to do.
        self._waiting: Waits | None = None
        self._starved = False
        # This request has waited for a disk.
        self._from_disk = False
        # Of a response that its client takes slowly.
        self._pace: Pace | None = None
        # How often its client took no more, and how much may wait unsent for it.
        self._stalls, self._unsent_bytes = 0, FIXED
        host.poller.watch(wire.fd, self)

    # --- what drives it ---------------------------------------------------------------------------

    def on_event(self, mask: int) -> None:
        if mask & INCOMING:
            self._readable = True
            if mask & HUNG_UP:
                self._hung_up = True
                if isinstance(self._waiting, PullWait):
                    # It might have ended its side alone; more likely it has left, and what it waits for
                    # would come from afar for nobody.
                    self.close()
                    return
        if self._idle:
            if not self._serve_hot():
                self._run()
        elif self._out is None or mask & OUTGOING:
            self._run()

    def check(self) -> None:
        """Called every now and then: ends what takes too long."""
        if self._starved:
            self._starved = False
            self._run()
        if self._closed:
            return
        waited_s, limits = self._host.now - self._since, self._host.limits
        if self._finished:
            if waited_s > limits.close_s:
                self._time_out(tally.TIMEOUT_CLOSE)
        elif self._waiting is not None:
            if waited_s > limits.disk_s:
                self._time_out(tally.TIMEOUT_DISK)
        elif self._out is not None:
            if waited_s > limits.write_s:
                self._time_out(tally.TIMEOUT_WRITE)
            elif self._trickles(self._out):
                self._time_out(tally.TIMEOUT_PACE)
        elif self._reader is not None and self._reader.in_head:
            if waited_s > limits.head_s:
                self._reader.time_out(limits.head_s)
                self._run()
        elif self._host.draining:
            if waited_s > limits.drain_idle_s:
                self.close()
        elif waited_s > idle_s(limits, crowded=self._host.crowded, draining=False):
            self._time_out(tally.TIMEOUT_REQUEST)

    def close(self) -> None:
        """Ends it at once, whatever is unsent."""
        if self._closed:
            return
        self._closed = True
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        if self._asked is not _NOBODY:
            self._host.row[tally.BROKEN_OFF] += 1
        self._complete()
        if self._reader is not None:
            self._reader.close()
        self._host.poller.forget(self._wire.fd)
        self._wire.close()
        self._host.gone(self)

    def _woken(self, error: Exception | None) -> None:
        """What was waited for is here, or will not come."""
        self._waiting, self._from_disk, self._since = None, True, self._host.now
        if error is not None:
            host, out = self._host, self._out
            if out is None:
                self._go_on_with(host.answerer.go_on(error, self._asked, host.now, self._woken))
            elif isinstance(error, PullFailed):
                host.row[tally.PULLS_BROKEN] += 1
                self.close()
                return
            else:
                self._pass_over(out, error)
        self._run()

    def _opened_instead(self, error: Exception | None) -> None:
        """Another copy of what is being sent is open, or cannot be."""
        self._waiting, self._since = None, self._host.now
        if self._out is not None and self._out.opened_instead(error):
            self._run()
        else:
            self.close()

    # --- the short way ----------------------------------------------------------------------------

    def _serve_hot(self) -> bool:
        """Reads, and answers a request for which everything is at hand in one go: true if that was all.
        Else what was found is where `_run` goes on from."""
        data = self._receive()
        if data is None:
            return True
        host = self._host
        self._idle = False
        answer = host.hot.answers.get(data)
        if answer is None or host.now >= answer.until or not answer.found.users:
            known = host.memo.recall(data)
            if known is None:
                self._feed(data)
                return False
            last = is_leaving(known[1])
            tail = host.hot_tails.close if last else host.hot_tails.stay
            answer = host.answerer.answer_hot(*known, host.now, tail, last=last)
            if answer is None:
                self._begin_known(*known)
                return False
            host.hot.keep(data, answer)
        teller = host.teller
        if teller is not None and teller.requests.countdown == 1:
            self._begin_known(answer.target, answer.fields)
            return False
        if answer.last:
            self._wire.last = True
        if not self._send_hot(answer):
            return False
        if teller is not None:
            teller.requests.countdown -= 1
        if answer.last:
            # RFC 9112, 9.6: who said "close" "MUST NOT send further requests on that connection", so that
            # nothing can come that would take the answer along.
            self.close()
            return True
        # What else has come is read by `_run`, and its answer may have to wait for the client.
        self._idle = not self._readable
        return self._idle

    def _send_hot(self, answer: HotAnswer) -> bool:
        """Whether it is all sent. Where the client took a part of it only, the rest is left to `_run`."""
        host, wire, found = self._host, self._wire, answer.found
        hot = host.hot
        began_at = host.clock() if hot.until_timed == 1 else 0.0
        response = answer.response
        offset, length = response.offset, response.length
        head = answer.head
        unsent = len(head) + length
        try:
            if answer.whole:
                unsent -= wire.send(answer.whole, more=False)
            else:
                unsent -= wire.send_with_body(head, found, offset, length)
            while 0 < unsent < length and not wire.unsent:
                sent = wire.send_body(found, offset + length - unsent, unsent)
                if not sent:
                    break
                unsent -= sent
        except StorageFault:
            # It is met with again on the long way, which goes on from another copy.
            pass
        except OSError:
            self._begin_known(answer.target, answer.fields)
            self.close()
            return False
        if unsent or wire.unsent:
            self._begin_known(answer.target, answer.fields)
            host.row[tally.RESPONSES_2XX] += 1
            found.users += 1
            sent = len(head) + length - unsent
            self._send_on(Answer(response, found, Outcome.MEMORY), head, sent)
            return False
        self._since = host.now
        self._ordinal += 1
        hot.count(found, length)
        if not hot.until_timed:
            hot.time(int((host.clock() - began_at) * 1e6))
        return True

    def _begin_known(self, target: bytes, fields: Fields) -> None:
        row = self._host.row
        row[tally.REQUESTS] += 1
        row[tally.MEMO_HITS] += 1
        self._begin(Asked(b"GET", target, fields, last=is_leaving(fields)))

    # --- the long way -----------------------------------------------------------------------------

    def _run(self) -> None:
        """Goes on until the client, a disk, or the turn of others stops it."""
        burst = BURST_BYTES
        while not self._closed and self._waiting is None:
            if self._out is not None:
                burst = self._send(self._out, burst)
                if burst <= 0:
                    return
            elif self._asked is not _NOBODY:
                self._answer()
            elif self._reader is not None and self._reader.queue:
                self._begin(self._reader.queue.popleft())
            elif self._ending and not self._finished:
                self._finish()
            elif not self._read():
                self._idle = self._reader is None and not self._ending
                return

    def _read(self) -> bool:
        """Reads once; whether there was anything."""
        data = self._receive()
        if data is None:
            return False
        if self._finished:
            self._discard(len(data))
            return True
        known = self._host.memo.recall(data) if self._reader is None else None
        if known is None:
            self._feed(data)
        else:
            self._begin_known(*known)
        return True

    def _receive(self) -> bytes | None:
        """What has come; None where nothing has, or the client has gone: then it is closed."""
        if not self._readable:
            return None
        try:
            data = self._wire.receive(RECEIVE_BYTES)
        except BlockingIOError:
            self._readable = False
            return None
        except OSError:
            self.close()
            return None
        if not data:
            # All that it asked for is sent: while something is not, nothing is read.
            self.close()
            return None
        if not self._hung_up and self._wire.drained(len(data)):
            self._readable = False
        return data

    def _feed(self, data: bytes) -> None:
        reader = self._reader
        if reader is None:
            reader = self._reader = RequestReader(self._host.row, self._host.memo)
        if not reader.in_head:
            self._since = self._host.now
        reader.feed(data)
        if reader.ending and not reader.queue:
            self._ending = True

    def _begin(self, asked: Asked) -> None:
        self._began_at, self._since = self._host.clock(), self._host.now
        self._from_disk = False
        self._ordinal += 1
        self._asked = asked
        self._ending = self._ending or asked.last
        reader = self._reader
        if reader is None:
            return
        if reader.ending and not reader.queue:
            self._ending = True
        if reader.idle:
            reader.close()
            self._reader = None

    def _answer(self) -> None:
        host = self._host
        self._go_on_with(
            host.answerer.answer(self._asked, host.now, self._woken, waited=self._from_disk)
        )

    def _go_on_with(self, answer: Answer | Waits) -> None:
        if isinstance(answer, Answer):
            self._take(answer)
        else:
            self._waiting, self._since = answer, self._host.now

    def _take(self, answer: Answer) -> None:
        """An answer, for which a head is made."""
        host, response = self._host, answer.response
        row = host.row
        row[tally.RESPONSES[response.status // 100]] += 1
        if response.status in tally.REFUSED:
            row[tally.REFUSED[response.status]] += 1
        more = self._reader is not None and bool(self._reader.queue)
        if response.close:
            more = False
            if self._reader is not None:
                self._reader.queue.clear()
        if response.close or host.draining:
            self._ending = True
        tails = host.tails[answer.outcome]
        if self._ending and not more:
            tail = tails.close
            self._wire.last = True
        else:
            tail = tails.keep_alive if self._asked.http_1_0 else tails.stay
        if self._from_disk:
            waited_ms = (host.clock() - self._began_at) * 1000
            tail = server_timing_field(answer.outcome.waited_for, waited_ms) + tail
        self._send_on(answer, response.head + tail, 0)

    def _send_on(self, answer: Answer, head: bytes, sent: int) -> None:
        head_only = self._asked.method == b"HEAD"
        self._out = Outgoing(
            self._host, self._wire, answer, head, began_at=self._began_at, head_only=head_only
        )
        if sent:
            self._out.sent_already(sent)

    def _send(self, out: Outgoing, burst: int) -> int:
        """What is left of the burst, 0 where this connection cannot or should not go on now."""
        before = out.sent_bytes
        try:
            progress, burst = out.send(burst)
            if progress is Progress.STALLED:
                self._stalls += 1
                if self._stalls % LOOK_EVERY_STALLS == 1:
                    self._unsent_bytes = self._wire.follow_path(self._unsent_bytes)
        except StorageFault as error:
            self._pass_over(out, error)
            return burst
        except OSError:
            self.close()
            return 0
        if out.sent_bytes > before:
            self._since = self._host.now
        match progress:
            case Progress.DONE:
                self._since = self._host.now
                self._complete()
                return burst
            case Progress.COLD:
                self._waiting = self._host.cold_reads.want(*out.missing(), self._woken)
                # Nobody may wait any more: it asks again at the next tick.
                self._starved = self._waiting is None
            case Progress.TURN:
                self._host.poller.later(self)
            case Progress.STALLED:
                pass
        return 0

    def _pass_over(self, out: Outgoing, error: Exception) -> None:
        """The copy that is sent gives no more of itself: goes on from another, or breaks off."""
        goes_on = out.pass_over(error, self._opened_instead)
        if isinstance(goes_on, Pending):
            self._waiting, self._since = goes_on, self._host.now
        elif not goes_on:
            self.close()

    def _complete(self) -> None:
        """The response has ended, whole or broken off."""
        out, asked = self._out, self._asked
        self._out, self._asked, self._pace, self._starved = None, _NOBODY, None, False
        if out is not None:
            out.end(asked, client=self.client, ordinal=self._ordinal)

    # --- ending -----------------------------------------------------------------------------------

    def _trickles(self, out: Outgoing) -> bool:
        """Whether its client takes so little that others should have its place."""
        host = self._host
        if self._pace is None:
            self._pace = Pace(out.sent_bytes, host.now)
        return self._pace.trickles(out.sent_bytes, host.now, host.limits) and host.crowded

    def _finish(self) -> None:
        self._finished, self._since = True, self._host.now
        try:
            self._wire.finish()
        except OSError:
            self.close()

    def _discard(self, size_bytes: int) -> None:
        self._discarded_bytes += size_bytes
        if self._discarded_bytes > DISCARDED_BYTES_MAX:
            self.close()

    def _time_out(self, cell: int) -> None:
        self._host.row[cell] += 1
        self.close()
