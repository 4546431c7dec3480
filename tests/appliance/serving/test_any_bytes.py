"""Any bytes get HTTP or a close, and the worker lives: the corpus, whole, cut in two and mutated.

A file of the corpus is what a client sends; its name says which statuses come back: `NAME.200-404.http`
two answers, `NAME.none.http` none. h11 judges whether an answer is HTTP. What once went wrong is
added as a file.
"""

import random
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import h11
import pytest
from appliance.serving.serve_process import Served, put_object, read_response, read_to_end, serve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.http"))
SMALL = b"a small object\n"
GOOD = b"GET /film/v1/small.txt HTTP/1.1\r\nHost: a\r\n\r\n"
# Of a request, in how many places it is cut at most; each costs a connection.
CUTS_MAX = 40

Pieces = Sequence[bytes]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("any-bytes") / "store"
    put_object(root, "film/v1/small.txt", SMALL, "text/plain")
    put_object(root, "film/v1/empty", b"")
    with serve(root) as running:
        workers = running.workers()
        yield running
        assert exchange(running, [(GOOD,)])[0].endswith(SMALL)
        assert running.workers() == workers
        assert running.counters()["sluice_appliance_worker_restarts_total"] == 0


def exchange(served: Served, requests: Sequence[Pieces]) -> list[bytes]:
    """What each client got until its connection ended. A second piece is sent when the worker has read
    the first."""
    with ExitStack() as stack:
        clients = [stack.enter_context(closing(served.connect())) for _ in requests]
        for client in clients:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for place in range(max(map(len, requests))):
            if place:
                until_read(served)
            for client, pieces in zip(clients, requests, strict=True):
                # It may have ended the connection already.
                with suppress(OSError):
                    client.sendall(b"".join(pieces[place : place + 1]))
        for client in clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_WR)
        return [read_to_end(client) for client in clients]


def until_read(served: Served) -> None:
    """Returns when the worker has read what was sent before: a client that came later is answered."""
    with closing(served.connect()) as client:
        client.sendall(GOOD)
        assert read_response(client)[2] == SMALL


def statuses_of(answers: bytes) -> list[int] | None:
    """The statuses of whole answers in a row, None where something else is among them. A method that
    may have been HEAD is not known here: what is no answer to a GET is read as one to a HEAD."""
    if not answers:
        return []
    for method in ("GET", "HEAD"):
        found = _first_status(answers, method)
        if found is not None and (more := statuses_of(found[1])) is not None:
            return [found[0], *more]
    return None


def _first_status(answers: bytes, method: str) -> tuple[int, bytes] | None:
    client = h11.Connection(our_role=h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(answers)
    status = 0
    try:
        while (event := client.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.Response):
                status = event.status_code
            if isinstance(event, h11.EndOfMessage):
                return status, client.trailing_data[0]
    except h11.RemoteProtocolError:
        pass
    return None


def expected_of(path: Path) -> list[int]:
    said = path.name.split(".")[-2]
    return [] if said == "none" else [int(status) for status in said.split("-")]


every_file = pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)


def test_the_corpus_is_there_and_holds_every_kind_of_answer() -> None:
    assert len(CORPUS) >= 100
    found = {status for path in CORPUS for status in expected_of(path)}
    refusals = {400, 404, 405, 411, 412, 413, 414, 416, 417, 431, 501, 505, 508}
    assert found >= {200, 204, 206, 304} | refusals


@every_file
def test_a_request_of_the_corpus_gets_the_statuses_that_its_name_says_each_time(
    served: Served, path: Path
) -> None:
    # What a worker has seen once it may know by heart.
    for _ in range(3):
        (answers,) = exchange(served, [(path.read_bytes(),)])
        assert statuses_of(answers) == expected_of(path), answers


@every_file
def test_a_request_cut_anywhere_is_the_same_request(served: Served, path: Path) -> None:
    sent, rng = path.read_bytes(), random.Random(path.name)
    places = range(1, len(sent))
    cuts = rng.sample(places, min(CUTS_MAX, len(places)))
    if not cuts:
        return
    answers = exchange(served, [(sent[:cut], sent[cut:]) for cut in cuts])
    found = {cut: statuses_of(answer) for cut, answer in zip(cuts, answers, strict=True)}
    expected = [expected_of(path)]
    if expected == [[501]]:
        # The parser gives up within a method that it does not know, and half of one may be nonsense.
        expected.append([400])
    other = {cut: statuses for cut, statuses in found.items() if statuses not in expected}
    assert not other, f"cut in two there, it is answered otherwise than whole: {other}"


_FILES = st.sampled_from([path.read_bytes() for path in CORPUS if path.stat().st_size < 1000])
_SMALL_PIECE = st.binary(max_size=4) | st.sampled_from(
    [b"\r\n", b"\r", b"\n", b"\0", b" ", b":", b",", b"Content-Length: 3\r\n", b"\r\n\r\n", b"HEAD"]
)


@st.composite
def _mutated(draw: st.DrawFn) -> Pieces:
    """A request or two, a few stretches of them replaced, cut in two."""
    sent = draw(_FILES) + draw(st.just(b"") | _FILES)
    for _ in range(draw(st.integers(1, 4))):
        first = draw(st.integers(0, len(sent)))
        last = draw(st.integers(first, min(first + 6, len(sent))))
        sent = sent[:first] + draw(_SMALL_PIECE) + sent[last:]
    cut = draw(st.integers(0, len(sent)))
    return sent[:cut], sent[cut:]


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(requests=st.lists(_mutated(), min_size=1, max_size=6))
def test_mutated_requests_get_http_or_a_close_and_hinder_nobody(
    served: Served, requests: list[Pieces]
) -> None:
    *answers, good = exchange(served, [*requests, (GOOD,)])
    for pieces, answer in zip(requests, answers, strict=True):
        assert statuses_of(answer) is not None, (pieces, answer)
    assert statuses_of(good) == [200]
    assert good.endswith(SMALL)
