"""A worker's way to the supervisor, which pulls what this box does not hold, and what came by it.

Asks what an object is and for its blocks, holds the blocks that it is handed until it is told to let them
go, and wakes those who wait. A supervisor that is slow to listen costs a client a 503, never a wait.
"""

import socket
from collections import OrderedDict, deque
from collections.abc import Callable

import msgspec

from sluice_appliance.pull.messages import (
    ASKED_MAX,
    MESSAGE_BYTES_MAX,
    Asked,
    Block,
    Drop,
    Facts,
    Failed,
    FromWorker,
    Leave,
    Look,
    Want,
    Why,
    decode_to_worker,
    encode,
)
from sluice_appliance.pull.negatives import Negatives
from sluice_appliance.serving import tally
from sluice_appliance.serving.disk_jobs import Wake
from sluice_appliance.serving.events import Loop
from sluice_appliance.serving.popularity import WorkerTable
from sluice_appliance.serving.pulled import (
    BlockFile,
    PulledBody,
    PulledObject,
    PullFailed,
    PullWait,
)
from sluice_appliance.serving.request import describe
from sluice_appliance.store.layout import ObjectKey

# Responses of a worker that are pulled or wait for it; each holds a block of a MiB at most.
RESPONSES_MAX = 512
# How long what an object is, and that a disk does not have it, is believed.
FACTS_S = 10.0
MISSING_S = 1.0
MISSING_MAX = 4096
# Objects of which a worker knows what they are; beyond, those of which it has nothing are forgotten.
OBJECTS_MAX = 4096
# What could not be said yet: that a response has ended, and what was found here.
_UNSAID_MAX = 4 * RESPONSES_MAX
_BURST = 64


class Pulls:
    """Of one worker. `door`: where the supervisor takes a new way in."""

    def __init__(
        self,
        door: socket.socket,
        loop: Loop,
        row: "memoryview[int]",
        popularity: WorkerTable,
        clock: Callable[[], float],
    ) -> None:
        self._door = door
        self._loop = loop
        self._row = row
        self._popularity = popularity
        self._clock = clock
        self._way: socket.socket | None = None
        self._number = 0
        # By number: of what was asked what it is, and the responses under way.
        self._looks: dict[int, PulledObject] = {}
        self._bodies: dict[int, PulledBody] = {}
        self._known: dict[str, PulledObject] = {}
        self._negatives: Negatives[Why] = Negatives()
        self._missing: OrderedDict[bytes, tuple[float, ObjectKey]] = OrderedDict()
        self._unsaid: deque[Leave | Asked] = deque()
        self._refused: list[int] = []
        self._found: dict[str, dict[int, int]] = {}
        # The body of a response that is just being answered again.
        self._resumed: PulledBody | None = None
        self._connect()

    # --- what the answerer asks -------------------------------------------------------------------

    def missing(self, target: bytes, now: float) -> ObjectKey | None:
        """What this target names, if it was found a moment ago that no disk has it."""
        found = self._missing.get(target)
        return found[1] if found is not None and now < found[0] else None

    def note_missing(self, target: bytes, key: ObjectKey, now: float) -> None:
        self._missing[target] = now + MISSING_S, key
        self._missing.move_to_end(target)
        if len(self._missing) > MISSING_MAX:
            self._missing.popitem(last=False)

    def find(self, key: str, now: float, wake: Wake) -> PulledObject | PullWait | PullFailed:
        """An object of which is known what it is; one who waits to know; or why it cannot be had."""
        why = self._negatives.look(key, now)
        if why is not None:
            return PullFailed(why)
        known = self._known.get(key)
        if known is not None and known.facts is not None and now < known.facts_until:
            return known
        known = known or PulledObject(key)
        if not self._look(known):
            return PullFailed(Why.BUSY)
        wait = PullWait(known, wake)
        known.looking[wait] = None
        self._known[key] = known
        return wait

    def _look(self, known: PulledObject) -> bool:
        """Whether it is asked what the object is, or was already."""
        if known.looking:
            return len(known.looking) < RESPONSES_MAX
        number = self._next_number()
        if len(self._looks) >= RESPONSES_MAX or not self._say(Look(number, known.key)):
            return False
        self._looks[number] = known
        return True

    def body(self, known: PulledObject, target: bytes) -> PulledBody | PullFailed:
        """For a response; the one that waited for this is gone on with."""
        resumed, self._resumed = self._resumed, None
        if resumed is not None:
            if resumed.path == known.key:
                return resumed
            resumed.release()
        if len(self._bodies) >= RESPONSES_MAX:
            return PullFailed(Why.BUSY)
        assert known.facts is not None, "a body of an object that nobody knows"
        number = self._next_number()
        found = PulledBody(self, known, known.facts, number, target)
        found.count_in(self._popularity, known.key)
        self._bodies[number] = found
        return found

    # --- what bodies ask --------------------------------------------------------------------------

    def want(self, number: int, key: str, first: int, end: int) -> None:
        if not self._say(Want(number, key, first, end)):
            # Told at the next turn: whoever asks is not done asking.
            self._refused.append(number)
            self._loop.call_soon(self._tell_refused)

    def found(self, key: str, block: int) -> None:
        """A request that needed nobody else is told of later, for what is kept goes by what is asked."""
        counts = self._found.setdefault(key, {})
        counts[block] = counts.get(block, 0) + 1

    def ended(self, number: int) -> None:
        del self._bodies[number]
        self._say_later(Leave(number))

    def tick(self, now: float) -> None:
        """A few times a second."""
        if self._way is None:
            self._connect()
        for key, counts in self._found.items():
            self._say_later(Asked(key, list(counts.items())[:ASKED_MAX]))
        self._found.clear()
        self._say_on()
        if len(self._known) > OBJECTS_MAX:
            for key in [key for key, known in self._known.items() if known.is_idle]:
                del self._known[key]

    def close(self) -> None:
        self._lose_way()
        self._door.close()

    # --- the way ----------------------------------------------------------------------------------

    def _connect(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        try:
            socket.send_fds(self._door, [b"."], [theirs.fileno()], socket.MSG_DONTWAIT)
        except OSError:
            # Nobody takes it in now; again at the next tick.
            ours.close()
        else:
            self._way = ours
            self._loop.add_reader(ours.fileno(), self._hear)
        finally:
            theirs.close()

    def _lose_way(self) -> None:
        if self._way is None:
            return
        self._loop.remove_reader(self._way.fileno())
        self._way.close()
        self._way = None
        self._unsaid.clear()
        for known in self._known.values():
            for file in known.blocks.values():
                file.release()
            known.blocks.clear()
        for number in (*self._looks, *self._bodies):
            self._fail(number, Why.BUSY)

    def _say(self, message: FromWorker) -> bool:
        if self._unsaid:
            self._say_on()
        return not self._unsaid and self._sent(message)

    def _say_later(self, message: Leave | Asked) -> None:
        if not self._say(message) and self._way is not None and len(self._unsaid) < _UNSAID_MAX:
            self._unsaid.append(message)

    def _say_on(self) -> None:
        while self._unsaid and self._sent(self._unsaid[0]):
            self._unsaid.popleft()

    def _sent(self, message: FromWorker) -> bool:
        if self._way is None:
            return False
        try:
            self._way.send(encode(message))
        except OSError:
            return False
        return True

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    # --- what comes -------------------------------------------------------------------------------

    def _hear(self) -> None:
        for _ in range(_BURST):
            if self._way is None:
                return
            try:
                packet, descriptors, _, _ = socket.recv_fds(
                    self._way, MESSAGE_BYTES_MAX, 1, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            except OSError:
                packet, descriptors = b"", []
            try:
                self._heed(packet, descriptors)
            except msgspec.DecodeError:
                # The end of the stream is no message either.
                self._lose_way()

    def _heed(self, packet: bytes, descriptors: list[int]) -> None:
        """Raises msgspec.DecodeError."""
        match decode_to_worker(packet):
            case Facts(number, size_bytes, sha256, content_type):
                looked = self._looks.pop(number, None)
                if looked is not None:
                    looked.facts = describe(size_bytes, sha256, content_type)
                    looked.facts_until = self._clock() + FACTS_S
                    self._wake_lookers(looked, None)
            case Block(key, block) if descriptors:
                self._take(key, block, descriptors[0])
            case Drop(key, block):
                known = self._known.get(key)
                if known is not None and block in known.blocks:
                    known.blocks.pop(block).release()
                    known.gone.add(block)
            case Failed(number, why):
                self._fail(number, why)

    def _take(self, key: str, block: int, descriptor: int) -> None:
        known = self._known.setdefault(key, PulledObject(key))
        before = known.blocks.get(block)
        if before is not None:
            before.release()
        known.blocks[block] = BlockFile(descriptor)
        known.gone.discard(block)
        self._row[tally.PULLED_BLOCKS] += 1
        for wait in known.waiting.pop(block, {}):
            self._wake(wait, None)

    def _wake_lookers(self, known: PulledObject, error: PullFailed | None) -> None:
        waits, known.looking = known.looking, {}
        for wait in waits:
            self._wake(wait, error)

    def _wake(self, wait: PullWait, error: PullFailed | None) -> None:
        """Being woken, one may close others that wait here too."""
        if wait.ended:
            return
        wait.ended = True
        body = None if wait.begun else wait.body
        if body is not None and error is None:
            # It is answered again at once, and goes on with what it asked for.
            self._resumed = body
            self.note_missing(body.target, ObjectKey(body.path), self._clock())
            body = None
        wait.wake(error)
        body, self._resumed = body or self._resumed, None
        if body is not None:
            body.release()

    def _tell_refused(self) -> None:
        refused, self._refused = self._refused, []
        for number in refused:
            self._fail(number, Why.BUSY)

    def _fail(self, number: int, why: Why) -> None:
        looked = self._looks.pop(number, None)
        if looked is not None:
            if why is not Why.BUSY:
                self._negatives.note(looked.key, why, self._clock())
            self._wake_lookers(looked, PullFailed(why))
        body = self._bodies.get(number)
        if body is not None:
            body.failed()
            for wait in body.known.waits_of(body):
                wait.known.forget(wait)
                self._wake(wait, PullFailed(why))
