"""A response goes out whole and in order, whatever a wire takes of it at a time."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from appliance.serving.serve_process import put_object
from appliance.serving.worker_by_hand import ByHand, by_hand
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice_appliance.serving import tally
from sluice_appliance.serving.answering import Answer
from sluice_appliance.serving.cache_status import Outcome
from sluice_appliance.serving.objects import OpenObject, StorageFault
from sluice_appliance.serving.outgoing import Outgoing, Progress
from sluice_appliance.serving.reader import Asked
from sluice_appliance.serving.request import respond

BODY = bytes(range(256)) * 40
ASKED = Asked(b"GET", b"/film/v1/a", {b"host": b"a"})


class ScriptedWire:
    """Takes as many bytes of each call as the script says, nothing when it has ended."""

    tls = ""
    in_kernel = False
    last = False
    fd = -1

    def __init__(self, takes: list[int], *, keeps: bool = False) -> None:
        self.taken = b""
        self._takes = iter(takes)
        # As TLS does: all is taken, and some of it waits.
        self._keeps = keeps
        self._kept = b""
        self.receive: Callable[[int], bytes] = lambda size: b""

    @property
    def unsent(self) -> bool:
        return bool(self._kept)

    def flush(self) -> bool:
        sent = next(self._takes, 0)
        self.taken += self._kept[:sent]
        self._kept = self._kept[sent:]
        return not self._kept

    def send(self, data: bytes, *, more: bool) -> int:
        sent = next(self._takes, 0)
        self.taken += data[:sent]
        if not self._keeps:
            return min(sent, len(data))
        self._kept = data[sent:]
        return len(data)

    def send_body(self, source: OpenObject, offset: int, length: int) -> int:
        return self.send(bytes(source.piece(offset, length)), more=False)

    def send_with_body(self, head: bytes, source: OpenObject, offset: int, length: int) -> int:
        return self.send(head + bytes(source.piece(offset, length)), more=False)

    def drained(self, received_bytes: int) -> bool:
        return True

    def follow_path(self, bound_bytes: int) -> int:
        return bound_bytes

    def finish(self) -> None: ...

    def close(self) -> None: ...


class FailingWire(ScriptedWire):
    """Its file is cut short while it is sent."""

    def send_body(self, source: OpenObject, offset: int, length: int) -> int:
        raise StorageFault("cut")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ByHand]:
    root: Path = tmp_path_factory.mktemp("outgoing") / "store"
    put_object(root, "film/v1/a", BODY)
    with by_hand(root) as found:
        yield found


def begin(served: ByHand, wire: ScriptedWire, asked: bytes, *, head_only: bool = False) -> Outgoing:
    found = served.worker.objects.find(ASKED.target, served.clock_s)
    assert isinstance(found, OpenObject)
    served.worker.cold_reads.reach(found, 0, len(BODY), served.clock_s)
    found.users += 1
    response = respond(b"GET", {b"host": b"a", b"range": asked}, found.facts)
    head = response.head + b"\r\n"
    answer = Answer(response, found, Outcome.MEMORY)
    return Outgoing(served.worker, wire, answer, head, began_at=0.0, head_only=head_only)


def expected(asked: bytes, served: ByHand) -> bytes:
    wire = ScriptedWire([1 << 30] * 20)
    out = begin(served, wire, asked)
    assert out.send(1 << 30)[0] is Progress.DONE
    out.end(ASKED, client="", ordinal=1)
    return wire.taken


_RANGES = st.sampled_from([b"bytes=0-", b"bytes=5-99", b"bytes=0-0,100-5000,-7", b"bytes=10239-"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asked=_RANGES,
    takes=st.lists(st.integers(0, 3000), max_size=60),
    bursts=st.integers(1, 20_000),
    keeps=st.booleans(),
)
def test_whatever_a_wire_takes_at_a_time_the_bytes_are_the_same(
    served: ByHand, asked: bytes, takes: list[int], bursts: int, *, keeps: bool
) -> None:
    whole = expected(asked, served)
    wire = ScriptedWire([*takes, *[1 << 30] * 2 * len(whole)], keeps=keeps)
    out = begin(served, wire, asked)
    before = served.row[tally.BODY_BYTES]
    while (progress := out.send(bursts)[0]) is not Progress.DONE:
        assert progress in (Progress.STALLED, Progress.TURN)
    out.end(ASKED, client="", ordinal=1)
    assert wire.taken == whole
    of_body = len(BODY) if asked == b"bytes=0-" else out.sent_bytes
    assert served.row[tally.BODY_BYTES] - before == out.sent_bytes == of_body


def test_no_turn_sends_much_more_than_its_burst(served: ByHand) -> None:
    wire = ScriptedWire([1 << 30] * 1000)
    out = begin(served, wire, b"bytes=0-")
    sent: list[int] = []
    while out.send(1000)[0] is Progress.TURN:
        sent.append(out.sent_bytes - sum(sent))
    assert sent == [1000] * (len(BODY) // 1000)
    out.end(ASKED, client="", ordinal=1)


def test_only_the_head_goes_out_where_only_the_head_is_asked_for(served: ByHand) -> None:
    wire = ScriptedWire([10, 0, 1 << 30])
    out = begin(served, wire, b"bytes=0-0,100-5000", head_only=True)
    assert out.send(1000)[0] is Progress.STALLED
    assert out.send(1000)[0] is Progress.STALLED
    assert out.send(1000)[0] is Progress.DONE
    assert wire.taken.endswith(b"\r\n\r\n")
    assert out.sent_bytes == 0
    out.end(ASKED, client="", ordinal=1)


def test_what_went_out_before_a_fault_is_counted_and_the_object_let_go(served: ByHand) -> None:
    wire = FailingWire([3000])
    out = begin(served, wire, b"bytes=0-")
    before = served.row[tally.BODY_BYTES]
    with pytest.raises(StorageFault):
        out.send(1 << 20)
    out.end(ASKED, client="", ordinal=1)
    assert served.row[tally.BODY_BYTES] - before == out.sent_bytes > 0
    found = served.worker.objects.find_open(ASKED.target, served.clock_s)
    assert found is not None
    assert found.users == 1
