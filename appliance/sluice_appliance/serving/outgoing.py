"""One response on its way: its head, then the bytes of its object, piece by piece, as client and disk allow.

A body goes out as far as it is in memory (`cold_reads.reach`); the connection waits for the rest. What
ended is counted here: bytes, time to first byte, hits of its object, and a record where one is due.
"""

from bisect import bisect_left
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from sluice_appliance.serving import tally
from sluice_appliance.serving.answering import Answer, Answerer
from sluice_appliance.serving.answers import Part
from sluice_appliance.serving.cache_status import Outcome
from sluice_appliance.serving.cold_reads import ColdReads, Pending
from sluice_appliance.serving.disk_jobs import Wake
from sluice_appliance.serving.objects import OpenObject
from sluice_appliance.serving.pulled import PulledBody
from sluice_appliance.serving.reader import Asked
from sluice_appliance.serving.records import Exchange
from sluice_appliance.serving.spoilt import is_spoilt
from sluice_appliance.serving.telling import Teller
from sluice_appliance.serving.wire import Wire


class Progress(Enum):
    """Why sending stopped."""

    DONE = "all is sent"
    STALLED = "the client takes no more now"
    TURN = "others have a turn"
    COLD = "the next bytes are not in memory"


class SendingHost(Protocol):
    """What a response needs of its worker."""

    answerer: Answerer
    cold_reads: ColdReads
    teller: Teller | None
    row: "memoryview[int]"
    now: float
    clock: Callable[[], float]


class Outgoing:
    """Made when an answer is there; `send` until DONE, then `end`, which is also how it is broken off."""

    __slots__ = (
        "_answer",
        "_began_at",
        "_first_byte_at",
        "_head",
        "_host",
        "_length",
        "_offset",
        "_rest",
        "_source",
        "_wire",
        "sent_bytes",
    )

    def __init__(
        self,
        host: SendingHost,
        wire: Wire,
        answer: Answer,
        head: bytes,
        *,
        began_at: float,
        head_only: bool,
    ) -> None:
        self._host = host
        self._wire = wire
        self._answer = answer
        self._began_at = began_at
        self._first_byte_at = 0.0
        self.sent_bytes = 0
        response = answer.response
        self._source: OpenObject | None = answer.source
        self._head, self._offset, self._length = head, 0, 0
        self._rest: tuple[Part, ...] = ()
        if not head_only:
            self._head += response.text
            self._offset, self._length = response.offset, response.length
            self._rest = response.rest

    def sent_already(self, sent: int) -> None:
        """So much of head and body went out before this was made."""
        self._first_byte_at = self._host.clock() if sent else 0.0
        self._took(sent)

    def send(self, burst: int) -> tuple[Progress, int]:
        """Sends what the client takes, `burst` bytes of body at most, and what is left of the burst.
        Raises OSError, and StorageFault, after which it goes on where it can (`pass_over`)."""
        while not self._wire.unsent or self._wire.flush():
            if not self._head and not self._length:
                if not self._rest:
                    return Progress.DONE, max(burst, 1)
                self._next_part()
            if burst <= 0:
                return Progress.TURN, 0
            reach = self._reach()
            if self._length and reach == self._offset:
                return Progress.COLD, burst
            sent, whole = self._send_piece(reach, burst)
            burst -= sent
            if not whole:
                break
        self._host.row[tally.SEND_STALLS] += 1
        return Progress.STALLED, burst

    def missing(self) -> tuple[OpenObject, int, int]:
        """What COLD waits for: of which object, from where to where."""
        assert self._source is not None, "a body without an object"
        return self._source, self._offset, self._offset + self._length

    def pass_over(self, error: Exception, wake: Wake) -> Pending | bool:
        """The copy that is sent gives no more of itself. Whether the body goes on from another one; or
        what is to be waited for until it is open, whereupon `wake` is called with what `opened_instead`
        is to know."""
        assert self._source is not None, "a body without an object"
        host, there = self._host, None
        if is_spoilt(error) and not isinstance(self._source, PulledBody):
            there = host.answerer.another(self._source, self._offset, host.now, wake)
        return there if isinstance(there, Pending) else self._go_on_from(there)

    def opened_instead(self, error: Exception | None) -> bool:
        """Whether the body goes on."""
        assert self._source is not None, "a body without an object"
        host = self._host
        return self._go_on_from(host.answerer.opened_instead(self._source, error, host.now))

    def _go_on_from(self, there: OpenObject | None) -> bool:
        if there is None or self._source is None:
            self._host.row[tally.REFUSED_STORAGE] += 1
            return False
        self._host.row[tally.COPIES_PASSED_OVER] += 1
        there.users += 1
        self._source.release()
        self._source = there
        return True

    def end(self, asked: Asked, *, client: str, ordinal: int) -> None:
        """It has ended, whole or broken off."""
        host, answer, source = self._host, self._answer, self._source
        row = host.row
        ttfb_us = 0
        if self._first_byte_at:
            ttfb_us = max(0, int((self._first_byte_at - self._began_at) * 1e6))
            row[tally.TTFB_FIRST + bisect_left(tally.TTFB_BOUNDS_US, ttfb_us)] += 1
            row[tally.TTFB_SUM_US] += ttfb_us
        if source is not None:
            if answer.outcome is Outcome.MEMORY:
                row[tally.RESPONSES_FROM_MEMORY] += 1
                row[tally.BYTES_FROM_MEMORY] += self.sent_bytes
            elif answer.outcome is Outcome.FILL:
                row[tally.RESPONSES_PULLED] += 1
                row[tally.BYTES_PULLED] += self.sent_bytes
            else:
                row[tally.RESPONSES_FROM_DISK] += 1
                row[tally.BYTES_FROM_DISK] += self.sent_bytes
            source.add_hits(1, self.sent_bytes)
            self._source = None
            source.release()
        teller = host.teller
        if teller is not None:
            sampler = teller.failures if answer.response.status >= 400 else teller.requests
            sampler.countdown -= 1
            if not sampler.countdown:
                size_bytes = source.facts.size_bytes if source is not None else 0
                told = self._exchange(asked, client, ordinal, size_bytes, ttfb_us)
                teller.tell(sampler, told)

    # --- sending ----------------------------------------------------------------------------------

    def _reach(self) -> int:
        """Up to where the body may be sent."""
        source, offset = self._source, self._offset
        end = offset + self._length
        now = self._host.now
        if source is None or not self._length or now < source.pages.all_until:
            return end
        return self._host.cold_reads.reach(source, offset, end, now)

    def _next_part(self) -> None:
        (self._head, self._offset, self._length), *rest = self._rest
        self._rest = tuple(rest)

    def _send_piece(self, reach: int, burst: int) -> tuple[int, bool]:
        """How much of the body went out, and whether all did that may go out now."""
        before = self._length
        end = min(reach, self._offset + burst)
        if self._head:
            self._send_head(end)
        if not self._head and self._offset < end:
            self._send_body(end)
        return before - self._length, not self._head and self._offset >= end

    def _send_head(self, end: int) -> None:
        wire, source = self._wire, self._source
        if source is not None and self._offset < end:
            sent = wire.send_with_body(self._head, source, self._offset, end - self._offset)
        else:
            sent = wire.send(self._head, more=bool(self._rest))
        if sent and not self._first_byte_at:
            self._first_byte_at = self._host.clock()
        self._took(sent)

    def _send_body(self, end: int) -> None:
        wire, source = self._wire, self._source
        assert source is not None, "a body without an object"
        offset = self._offset
        try:
            while offset < end:
                sent = wire.send_body(source, offset, end - offset)
                if not sent:
                    break
                offset += sent
        finally:
            self._took(offset - self._offset)

    def _took(self, sent: int) -> None:
        of_body = sent - len(self._head)
        self._head = self._head[sent:]
        if of_body > 0:
            self._offset += of_body
            self._length -= of_body
            self.sent_bytes += of_body
            self._host.row[tally.BODY_BYTES] += of_body

    def _exchange(
        self, asked: Asked, client: str, ordinal: int, size_bytes: int, ttfb_us: int
    ) -> Exchange:
        answer, wire = self._answer, self._wire
        return Exchange(
            client=client,
            ordinal=ordinal,
            method=asked.method,
            target=asked.target,
            fields=asked.fields,
            status=answer.response.status,
            sent_bytes=self.sent_bytes,
            size_bytes=size_bytes,
            cache=answer.outcome.name.lower(),
            ttfb_us=ttfb_us,
            duration_us=int((self._host.clock() - self._began_at) * 1e6),
            tls=wire.tls,
            kernel_tls=wire.in_kernel,
            refusal=answer.refusal,
        )
