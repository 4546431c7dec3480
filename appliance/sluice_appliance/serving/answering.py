"""From a request to its answer: may it come in, which object is it for, can its bytes be sent at once.

The steps stand in one place and in order: a refusal by the reader; CDN-Loop; the token; the object;
its conditions and ranges; and last, for bytes that are not in memory, whether a disk may be asked.
Each decides elsewhere; a request for a hot object passes all of them in some 2 us.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from sluice_appliance.pull.messages import Why
from sluice_appliance.serving import tally
from sluice_appliance.serving.answers import Response, absent, refuse, unreadable
from sluice_appliance.serving.cache_status import Outcome
from sluice_appliance.serving.cold_reads import ColdReads, Pending, Shed
from sluice_appliance.serving.concurrency import retry_after_s
from sluice_appliance.serving.conditions import CONDITIONS
from sluice_appliance.serving.disk_jobs import Wake
from sluice_appliance.serving.hot import HOT_BYTES_MAX, HOT_S, KEPT_BYTES_MAX, HotAnswer
from sluice_appliance.serving.loops import refuse_loop
from sluice_appliance.serving.objects import FRESH_S, Cold, Missing, OpenObject, OpenObjects
from sluice_appliance.serving.pulled import PulledObject, PullFailed, PullWait
from sluice_appliance.serving.pulls import Pulls
from sluice_appliance.serving.ranges import BEYOND_ANY, asked_at_least
from sluice_appliance.serving.reader import Asked
from sluice_appliance.serving.request import answer_options, respond
from sluice_appliance.serving.spoilt import StorageFault, Unreadable, is_spoilt
from sluice_appliance.serving.target import host_of, read_target
from sluice_appliance.serving.tokens.claims import Refusal
from sluice_appliance.serving.tokens.gate import Gate
from sluice_appliance.serving.windows import NOTHING, Piece, piece_at

# What an answer waits for: a disk, or bytes from elsewhere.
Waits = Pending | PullWait


class Answer(NamedTuple):
    """What is sent, from which object, and what is told of it."""

    response: Response
    source: OpenObject | None = None
    outcome: Outcome = Outcome.REFUSED
    # Why, in words for the operator; the client sees only the status.
    refusal: str = ""


class Answerer:
    """One worker's. `wake` is called, later, where an answer needs a disk first: then ask again."""

    def __init__(
        self,
        objects: OpenObjects,
        cold_reads: ColdReads,
        row: "memoryview[int]",
        *,
        cdn_id: bytes,
        gate: Gate,
        wall_clock: Callable[[], float],
        pulls: Pulls | None = None,
    ) -> None:
        self.gate = gate
        # Every answer is to tell its client that it should go.
        self.draining = False
        self._objects = objects
        self._cold_reads = cold_reads
        # None where what is not held is not pulled.
        self._pulls = pulls
        self._row = row
        self._cdn_id = cdn_id
        self._wall_clock = wall_clock
        self._turned_away = 0

    def answer(self, asked: Asked, now: float, wake: Wake, *, waited: bool) -> Answer | Waits:
        """`waited` says that a disk was read for this request before, or bytes came from elsewhere."""
        if asked.refusal is not None:
            return Answer(asked.refusal, refusal=_sentence(asked.refusal))
        target, fields = asked.target, asked.fields
        if asked.method == b"OPTIONS":
            return Answer(answer_options(target))
        if b"cdn-loop" in fields:
            looped = refuse_loop(fields[b"cdn-loop"], self._cdn_id)
            if looped is not None:
                return Answer(looped, outcome=Outcome.LOOP, refusal=_sentence(looped))
        permit = self._judge(asked)
        if isinstance(permit, Refusal):
            return _forbidden(permit)
        target = permit
        if self._pulls is not None and (key := self._pulls.missing(target, now)):
            return self._answer_missing(Missing(key), target, asked, now, wake)
        found = self._objects.find(target, now)
        if isinstance(found, OpenObject):
            return self._answer_from(found, asked, now, wake, waited)
        if isinstance(found, Cold):
            return self._begun(self._cold_reads.open(found, wake, wanted=_wanted_at_least(asked)))
        if isinstance(found, Missing):
            return self._answer_missing(found, target, asked, now, wake)
        outcome = Outcome.ABSENT if found.status == 404 else Outcome.REFUSED
        return Answer(found, outcome=outcome, refusal=_sentence(found))

    def go_on(self, error: Exception, asked: Asked, now: float, wake: Wake) -> Answer | Waits:
        """After a wait that did not come to bytes: what a disk was waited for and does not have, or does
        not give, may come from elsewhere."""
        spoilt = is_spoilt(error)
        if isinstance(error, Unreadable):
            self._objects.tell_of(error, now)
        if spoilt or isinstance(error, FileNotFoundError):
            target = self._judge(asked)
            key = None if isinstance(target, Refusal) else read_target(target)
            if isinstance(key, str) and not isinstance(target, Refusal):
                missing = Missing(key, str(error) if spoilt else "")
                return self._answer_missing(missing, target, asked, now, wake)
        return self.fail(error)

    def answer_hot(
        self, target: bytes, fields: Mapping[bytes, bytes], now: float, tail: bytes, *, last: bool
    ) -> HotAnswer | None:
        """To a GET: bytes that are in memory, of an object that is open; None where there is more to it.
        `tail` ends the head, and says that the connection ends where `last` does."""
        if self.draining or b"cdn-loop" in fields:
            return None
        named = target
        if self.gate.required or b"=" in target:
            # Who is refused is refused, and counted, once: on the long way.
            permit = self.gate.recall(target, self._wall_clock(), fields.get(b"host"))
            if permit is None:
                return None
            named = permit
        found = self._objects.find_open(named, now)
        if found is None:
            return None
        response = respond(b"GET", fields, found.facts)
        offset, length = response.offset, response.length
        if not 0 < length <= HOT_BYTES_MAX or response.rest:
            return None
        if self._cold_reads.reach(found, offset, offset + length, now) < offset + length:
            return None
        until = min(now + HOT_S, found.checked_at + FRESH_S)
        head, whole = response.head + tail, b""
        if length <= KEPT_BYTES_MAX:
            try:
                whole = head + found.copy(offset, length)
            except StorageFault:
                # It is met with again on the long way.
                return None
        return HotAnswer(until, found, response, head, whole, target, fields, last)

    def fail(self, error: Exception) -> Answer:
        """What waiting came to, where it did not come to bytes."""
        if isinstance(error, PullFailed):
            return self._fail_pull(error.why)
        if isinstance(error, FileNotFoundError):
            return self._absent()
        return self._unreadable(str(error))

    def _unreadable(self, fault: str) -> Answer:
        self._row[tally.REFUSED_STORAGE] += 1
        return Answer(unreadable(), outcome=Outcome.STORAGE, refusal=fault)

    def another(
        self, found: OpenObject, offset: int, now: float, wake: Wake
    ) -> OpenObject | Pending | None:
        """A copy from which a body goes on that gets no further than `offset`; `wake` is called where it
        must be opened first, then `opened_instead` has it. None where there is none."""
        there = self._objects.instead_of(found, offset, now)
        if not isinstance(there, Cold):
            return there
        pending = self._cold_reads.open(there, wake, begun=True)
        return pending if isinstance(pending, Pending) else None

    def opened_instead(
        self, found: OpenObject, error: Exception | None, now: float
    ) -> OpenObject | None:
        """What came of `another`, which was woken with `error`."""
        if isinstance(error, Unreadable):
            self._objects.tell_of(error, now)
        return None if error is not None else self._objects.opened_instead(found, now)

    def _answer_from(
        self,
        found: OpenObject,
        asked: Asked,
        now: float,
        wake: Wake,
        waited: bool,
    ) -> Answer | Waits:
        response = respond(asked.method, asked.fields, found.facts)
        length = response.length
        if not length or asked.method == b"HEAD":
            outcome = Outcome.MEMORY if response.status < 400 else Outcome.REFUSED
            return Answer(response, None, outcome)
        # Asked after a wait as well: that may have been for the opening, which brings no bytes.
        if now >= found.pages.all_until:
            offset = response.offset
            if self._cold_reads.reach(found, offset, offset + length, now) == offset:
                found_out = partial(self._read, found, offset, now, wake)
                return self._begun(
                    self._cold_reads.begin(found, offset, offset + length, found_out)
                )
        found.users += 1
        outcome = Outcome.DISK if waited else Outcome.MEMORY
        return Answer(response, found, outcome)

    def _read(
        self, found: OpenObject, offset: int, now: float, wake: Wake, error: Exception | None
    ) -> None:
        """A copy that its disk did not give is looked for anew: another may be there."""
        if error is not None and is_spoilt(error) and self._objects.pass_over(found, offset, now):
            error = None
        wake(error)

    # --- what is not held -------------------------------------------------------------------------

    def _answer_missing(
        self, missing: Missing, target: bytes, asked: Asked, now: float, wake: Wake
    ) -> Answer | Waits:
        """An object that no disk here has, or gives; it may come from elsewhere. What another box or CDN
        asks for is not asked of a third: two boxes would send each other round."""
        pulls = self._pulls
        if pulls is None or b"cdn-loop" in asked.fields:
            return self._unreadable(missing.fault) if missing.fault else self._absent()
        pulls.note_missing(target, missing.key, now)
        known = pulls.find(missing.key, now, wake)
        if isinstance(known, PullWait):
            return known
        if isinstance(known, PullFailed):
            return self._fail_pull(known.why)
        return self._answer_pulled(pulls, known, target, asked, wake)

    def _answer_pulled(
        self, pulls: Pulls, known: PulledObject, target: bytes, asked: Asked, wake: Wake
    ) -> Answer | Waits:
        assert known.facts is not None, "found before it was known"
        response = respond(asked.method, asked.fields, known.facts)
        offset, length = response.offset, response.length
        if not length or asked.method == b"HEAD":
            outcome = Outcome.FILL if response.status < 400 else Outcome.REFUSED
            return Answer(response, None, outcome)
        body = pulls.body(known, target)
        if isinstance(body, PullFailed):
            return self._fail_pull(body.why)
        if body.reach(offset, offset + length) == offset:
            return body.want(offset, offset + length, wake, begun=False)
        return Answer(response, body, Outcome.FILL if body.waited else Outcome.MEMORY)

    def _absent(self) -> Answer:
        self._row[tally.ABSENT_OBJECTS] += 1
        return Answer(absent(), outcome=Outcome.ABSENT)

    def _fail_pull(self, why: Why) -> Answer:
        self._row[tally.PULLS_FAILED[why.value]] += 1
        if why is Why.ABSENT:
            return self._absent()
        busy = why is Why.BUSY
        sentence = "too much comes from elsewhere" if busy else "no source of it can be read"
        outcome = Outcome.SHED if busy else Outcome.UNREACHABLE
        return self._turn_away(sentence, outcome, f"pull_{why.value}")

    def _begun(self, begun: Pending | Shed) -> Answer | Waits:
        if isinstance(begun, Pending):
            return begun
        self._row[begun.value] += 1
        return self._turn_away("the disks have enough to do", Outcome.SHED, begun.name.lower())

    def _turn_away(self, sentence: str, outcome: Outcome, refusal: str) -> Answer:
        self._turned_away += 1
        fields = b"Retry-After: %d\r\n" % retry_after_s(self._turned_away)
        return Answer(refuse(503, sentence, fields=fields), outcome=outcome, refusal=refusal)

    def _judge(self, asked: Asked) -> bytes | Refusal:
        """The target without its token, or why it may not come in."""
        target = asked.target
        # A token has an "=" before it, in the path or the query.
        if not self.gate.required and b"=" not in target:
            return target
        host = host_of(target, asked.fields.get(b"host", b""))
        return self.gate.judge(target, host, self._wall_clock())


def _wanted_at_least(asked: Asked) -> Piece:
    """What its response is sure to begin with, whatever the object is."""
    fields = asked.fields
    if asked.method != b"GET" or not CONDITIONS.isdisjoint(fields) or b"if-range" in fields:
        return NOTHING
    span = asked_at_least(fields[b"range"]) if b"range" in fields else (0, BEYOND_ANY)
    return NOTHING if span is None else piece_at(*span, BEYOND_ANY)


def _forbidden(refusal: Refusal) -> Answer:
    """The client is told nothing that helps it to forge a better one."""
    reason = f"{refusal.reason.value}: {refusal.detail}"
    return Answer(refuse(403, "forbidden"), outcome=Outcome.FORBIDDEN, refusal=reason)


def _sentence(response: Response) -> str:
    return response.text.decode("ascii", "replace").strip()
