"""In which order a request is judged, and what the short way may answer."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from appliance.serving.serve_process import put_object
from appliance.serving.slow_disk import evict
from appliance.serving.worker_by_hand import ByHand, by_hand
from appliance.tokens.minting import key_set

from sluice_appliance.serving import tally
from sluice_appliance.serving.answering import Answer
from sluice_appliance.serving.answers import refuse
from sluice_appliance.serving.cache_status import Outcome
from sluice_appliance.serving.concurrency import Kind
from sluice_appliance.serving.hot import HotAnswer
from sluice_appliance.serving.reader import Asked
from sluice_appliance.serving.settings import ServingSettings
from sluice_appliance.serving.tokens.claims import Reason
from sluice_appliance.serving.tokens.gate import Demand
from sluice_appliance.store.layout import object_path, parse_key

HERE = b"/film/v1/a"
HOST = {b"host": b"a"}
LOOP = HOST | {b"cdn-loop": b"box-1"}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ByHand]:
    yield from _serving(tmp_path, Demand.OFF)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[ByHand]:
    yield from _serving(tmp_path, Demand.REQUIRED)


def _serving(folder: Path, demand: Demand) -> Iterator[ByHand]:
    put_object(folder / "store", "film/v1/a", b"body" * 100)
    keys = folder / "keys.json"
    keys.write_bytes(key_set())
    settings = ServingSettings(
        store=str(folder / "store"), name="box-1", tokens=demand, token_keys=str(keys)
    )
    with by_hand(folder / "store", settings=settings) as found:
        yield found


def answer(served: ByHand, asked: Asked) -> Answer:
    """A disk included, where a directory has to be read to know that nothing is there."""
    answerer = served.worker.answerer
    woken: list[Exception | None] = []
    found = answerer.answer(asked, served.clock_s, woken.append, waited=False)
    if not isinstance(found, Answer):
        served.loop.turn_until(lambda: woken or None)
        assert woken[0] is not None, "what was just written is not in memory"
        return answerer.fail(woken[0])
    if found.source is not None:
        found.source.release()
    return found


def hot(served: ByHand, target: bytes, fields: dict[bytes, bytes]) -> HotAnswer | None:
    return served.worker.answerer.answer_hot(target, fields, served.clock_s, b"\r\n", last=False)


@pytest.mark.parametrize(
    ("asked", "status", "outcome"),
    [
        (Asked(b"GET", HERE, LOOP, refusal=refuse(400, "no")), 400, Outcome.REFUSED),
        (Asked(b"OPTIONS", HERE, LOOP), 204, Outcome.REFUSED),
        (Asked(b"GET", HERE, LOOP), 508, Outcome.LOOP),
        (Asked(b"GET", HERE, HOST), 403, Outcome.FORBIDDEN),
        (Asked(b"GET", b"/absent", HOST), 403, Outcome.FORBIDDEN),
    ],
)
def test_what_is_wrong_first_is_what_is_answered(
    guarded: ByHand, asked: Asked, status: int, outcome: Outcome
) -> None:
    found = answer(guarded, asked)
    assert (found.response.status, found.outcome) == (status, outcome)
    assert found.source is None
    assert (found.refusal == "") == (status == 204)


@pytest.mark.parametrize(
    "target", [HERE, b"/film;CAT=AAAA/v1/a", HERE + b"?URISigningPackage=a.b.c"]
)
def test_who_is_refused_for_a_token_is_told_nothing_and_the_operator_why(
    guarded: ByHand, target: bytes
) -> None:
    found = answer(guarded, Asked(b"GET", target, HOST))
    assert found.response.text == b"forbidden\n"
    reason, _, detail = found.refusal.partition(": ")
    assert reason in {each.value for each in Reason}
    assert detail
    assert reason.encode() not in found.response.head
    assert detail.encode() not in found.response.head


def test_without_tokens_what_is_held_is_sent_and_what_is_not_is_absent(served: ByHand) -> None:
    assert answer(served, Asked(b"GET", HERE, HOST)).outcome is Outcome.MEMORY
    assert answer(served, Asked(b"GET", b"/film/v1/b", HOST)).outcome is Outcome.ABSENT
    assert answer(served, Asked(b"HEAD", HERE, HOST)).source is None
    # A token that nobody asked for is taken off.
    assert answer(served, Asked(b"GET", b"/film;CAT=a/v1/a", HOST)).outcome is Outcome.MEMORY


def test_where_the_disk_has_enough_to_do_who_needs_it_is_told_when_to_come_again_and_no_one_else(
    served: ByHand, tmp_path: Path
) -> None:
    put_object(tmp_path / "store", "film/v1/b", b"hot")
    ((_, limiter),) = served.worker.cold_reads._disks.values()
    for name in (HERE, b"/film/v1/b"):
        assert answer(served, Asked(b"GET", name, HOST)).response.status == 200
    while limiter.try_begin(Kind.OPENING, served.clock_s) is not None:
        pass
    evict(Path(object_path(str(tmp_path / "store"), parse_key("film/v1/a"))))
    # What was known of its pages is old.
    served.pass_time(2)
    found = answer(served, Asked(b"GET", HERE, HOST))
    assert (found.response.status, found.outcome) == (503, Outcome.SHED)
    (wait,) = re.findall(rb"\r\nRetry-After: ([0-9]+)\r\n", found.response.head)
    assert 1 <= int(wait) <= 60
    assert answer(served, Asked(b"GET", b"/film/v1/b", HOST)).response.status == 200


def test_the_short_way_answers_only_bytes_of_an_object_that_is_open(served: ByHand) -> None:
    assert hot(served, HERE, HOST) is None
    answer(served, Asked(b"GET", HERE, HOST))
    found = hot(served, HERE, HOST | {b"range": b"bytes=4-7"})
    assert found is not None
    assert found.response.status == 206
    assert found.whole.endswith(b"\r\n\r\nbody")
    for fields in (
        LOOP,
        HOST | {b"range": b"bytes=0-1,5-6"},
        HOST | {b"range": b"bytes=4000-"},
        HOST | {b"if-none-match": b"*"},
        HOST | {b"if-match": b'"other"'},
    ):
        assert hot(served, HERE, fields) is None
    assert hot(served, b"/film/v1/b", HOST) is None


def test_the_short_way_answers_nobody_without_a_token(guarded: ByHand) -> None:
    guarded.worker.objects.find(HERE, guarded.clock_s)
    assert hot(guarded, HERE, HOST) is None


def test_the_short_way_answers_nobody_in_a_drain(served: ByHand) -> None:
    served.worker.objects.find(HERE, served.clock_s)
    assert hot(served, HERE, HOST) is not None
    served.drain()
    assert hot(served, HERE, HOST) is None


def test_what_a_disk_did_not_give_is_told_apart(served: ByHand) -> None:
    def failed(error: Exception) -> Answer:
        return served.worker.answerer.fail(error)

    assert failed(FileNotFoundError()).outcome is Outcome.ABSENT
    assert failed(OSError(5, "Input/output error")).outcome is Outcome.STORAGE
    assert "Input/output" in failed(OSError(5, "Input/output error")).refusal
    assert served.counts(tally.ABSENT_OBJECTS) == 1
    assert served.counts(tally.REFUSED_STORAGE) == 2
