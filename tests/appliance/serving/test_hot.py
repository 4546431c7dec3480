"""The short way of an answer: what it counts, and what it never outlives."""

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from appliance.serving.conversation import (
    BIG,
    BODIES,
    MIDDLE,
    SMALL,
    Clients,
    Reading,
    ask,
    put_bodies,
)
from appliance.serving.serve_process import put_object
from appliance.serving.test_tls import make_certificate
from appliance.serving.worker_by_hand import ByHand, by_hand
from appliance.tokens.minting import CATU, ES256, EXP, NOW, cat, key_set

from sluice_appliance.serving import tally
from sluice_appliance.serving.connection import BURST_BYTES
from sluice_appliance.serving.hot import ANSWERS_MAX, HOT_BYTES_MAX, TIMED_EVERY
from sluice_appliance.serving.limits import Limits
from sluice_appliance.serving.openssl import Context, TlsFiles
from sluice_appliance.serving.popularity import Hits
from sluice_appliance.serving.settings import ServingSettings
from sluice_appliance.serving.telling import Teller, Telling
from sluice_appliance.serving.tokens.claims import Reason
from sluice_appliance.serving.tokens.gate import CLOCK_SKEW_S, Demand
from sluice_appliance.serving.tokens.keys import KeySet


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_certificate(tmp_path_factory.mktemp("hot"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hot-store") / "store"
    return put_bodies(root)


@pytest.fixture
def served(store: Path, files: TlsFiles) -> Iterator[ByHand]:
    with by_hand(store, context=Context(files)) as found:
        yield found


@pytest.fixture(params=["plain", "tls"])
def clients(request: pytest.FixtureRequest, served: ByHand, files: TlsFiles) -> Clients:
    return Clients(served, request.param, files)


def test_every_request_is_counted_once_whichever_way_it_went(clients: Clients) -> None:
    served, rng = clients.served, random.Random(17)
    served.popularity.drain()
    hits: dict[str, Hits] = {}
    statuses = dict.fromkeys((2, 3, 4), 0)
    body_bytes = 0
    slow = clients.connect(receive_buffer_bytes=2304, send_buffer_bytes=4608)
    quick = clients.connect()
    requests = 0
    for _ in range(120):
        client = rng.choice([slow, quick, quick])
        name = rng.choice([b"small", b"small", b"middle", b"absent"])
        lines = rng.choice([(), (), (b"Range: bytes=2-9",), (b"If-None-Match: *",)])
        client.send(ask(name, *lines))
        status, _, body = Reading(client).answer()
        statuses[status // 100] += 1
        requests += 1
        if status < 300:
            key = f"film/v1/{name.decode()}"
            hits[key] = hits.get(key, Hits()) + Hits(1, len(body))
            body_bytes += len(body)
    slow.close()
    quick.close()
    served.loop.turn()
    counts = served.counts
    assert counts(tally.REQUESTS) == requests
    assert counts(tally.RESPONSES_2XX) == statuses[2]
    assert counts(tally.RESPONSES_3XX) == statuses[3]
    assert counts(tally.RESPONSES_4XX) == statuses[4]
    assert counts(tally.BODY_BYTES) == counts(tally.BYTES_FROM_MEMORY) == body_bytes
    assert counts(tally.RESPONSES_FROM_MEMORY) == statuses[2]
    assert counts(tally.RESPONSES_FROM_DISK) == counts(tally.BROKEN_OFF) == 0
    assert served.popularity.drain().by_key == hits
    timed = sum(served.row[tally.TTFB_FIRST : tally.TTFB_SUM_US])
    # Of the short way one in so many is timed, and counts for all of them.
    assert requests - TIMED_EVERY < timed <= requests + TIMED_EVERY
    assert counts(tally.CONNECTIONS) == counts(tally.CONNECTIONS_CLOSED) == 2


def test_a_request_whose_client_left_is_counted_as_broken_off_on_the_short_way_too(
    served: ByHand,
) -> None:
    with closing(served.connect()) as client:
        for _ in range(2):
            client.send(ask(b"small"))
            Reading(client).answer()
    served.loop.turn()
    client = served.connect()
    client.socket.sendall(ask(b"middle"))
    client.reset()
    requests, broken = served.counts(tally.REQUESTS), served.counts(tally.BROKEN_OFF)
    # Either nothing of it was read, or it is a request that was broken off.
    assert (requests, broken) in ((2, 0), (3, 1))


@pytest.mark.parametrize("name", [b"small", b"middle", b"big"])
def test_a_request_that_is_its_connections_last_is_told_so_and_ends_it(
    clients: Clients, name: bytes
) -> None:
    served = clients.served
    for _ in range(3):
        with closing(clients.connect()) as client:
            client.send(ask(name, b"Connection: close"))
            reading = Reading(client)
            status, lines, body = reading.answer()
            assert (status, body) == (200, BODIES[name])
            assert b"Connection: close" in lines
            assert reading.ended()
    # From the second on it was known.
    assert served.counts(tally.MEMO_HITS) == 2
    with closing(clients.connect()) as client:
        client.send(ask(name))
        _, lines, _ = Reading(client).answer()
        assert b"Connection: close" not in lines
        client.send(ask(name))
        assert Reading(client).answer()[2] == BODIES[name]
    served.loop.turn()
    assert served.counts(tally.REQUESTS) == served.counts(tally.RESPONSES_2XX) == 5
    assert served.counts(tally.BODY_BYTES) == 5 * len(BODIES[name])
    assert served.counts(tally.BROKEN_OFF) == 0
    assert served.counts(tally.CONNECTIONS_CLOSED) == served.counts(tally.CONNECTIONS) == 4


def test_what_is_asked_behind_a_last_request_is_not_answered(clients: Clients) -> None:
    last = ask(b"small", b"Connection: close")
    with closing(clients.connect()) as client:
        client.send(last)
        assert Reading(client).answer()[2] == SMALL
    with closing(clients.connect()) as client:
        client.send(last + ask(b"middle"))
        reading = Reading(client)
        assert reading.answer()[2] == SMALL
        assert reading.ended()


def test_the_sizes_here_are_on_both_sides_of_what_goes_the_short_way() -> None:
    assert len(MIDDLE) < HOT_BYTES_MAX < len(BIG) < BURST_BYTES


# --- what it does not outlive -----------------------------------------------------------------------


def went_the_short_way(served: ByHand) -> int:
    """How many requests since this was last asked."""
    found = served.worker.hot.requests
    served.worker.hot.flush()
    return found


def test_a_token_is_looked_at_again_though_its_requests_go_the_short_way(
    store: Path, files: TlsFiles, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    keys.write_bytes(key_set())
    settings = ServingSettings(store=str(store), tokens=Demand.REQUIRED, token_keys=str(keys))
    token = cat({EXP: NOW + 10, CATU: {3: {1: "/film/"}}}, alg=ES256)
    request = ask(b"small").replace(b"/film/", b"/film;CAT=" + token + b"/")
    with by_hand(store, settings=settings) as served, closing(served.connect()) as client:
        reading = Reading(client)
        for expected in (0, 1, 1, 1):
            client.send(request)
            assert reading.answer()[2] == SMALL
            assert went_the_short_way(served) == expected
        # After `exp` and what clocks may differ by; the connection is the same.
        served.pass_time(10 + CLOCK_SKEW_S + 1)
        client.send(request)
        assert reading.answer()[0] == 403
        assert went_the_short_way(served) == 0
        client.send(ask(b"small"))
        assert reading.answer()[0] == 403


def test_a_token_that_asks_for_a_host_goes_the_short_way_at_that_host_alone(
    store: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    keys.write_bytes(key_set())
    settings = ServingSettings(store=str(store), tokens=Demand.REQUIRED, token_keys=str(keys))
    token = cat({EXP: NOW + 3600, CATU: {1: {0: "a"}}})
    request = ask(b"small").replace(b"/film/", b"/film;CAT=" + token + b"/")
    elsewhere = request.replace(b"Host: a\r\n", b"Host: b\r\n")
    with by_hand(store, settings=settings) as served, closing(served.connect()) as client:
        reading = Reading(client)
        for expected in (0, 1, 1):
            client.send(request)
            assert reading.answer()[2] == SMALL
            assert went_the_short_way(served) == expected
            client.send(elsewhere)
            assert reading.answer()[0] == 403
            assert went_the_short_way(served) == 0


def test_who_is_refused_again_and_again_is_counted_once_each_time(
    store: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    keys.write_bytes(key_set())
    settings = ServingSettings(store=str(store), tokens=Demand.REQUIRED, token_keys=str(keys))
    forged = ask(b"small").replace(b"/film/", b"/film;CAT=" + b"A" * 40 + b"/")
    with by_hand(store, settings=settings) as served, closing(served.connect()) as client:
        reading = Reading(client)
        reasons = slice(tally.TOKEN_REFUSED_FIRST, tally.TOKEN_REFUSED_FIRST + len(Reason))
        for number in range(1, 7):
            client.send(ask(b"small") if number <= 3 else forged)
            assert reading.answer()[0] == 403
            assert sum(served.row[reasons]) == number


def test_keys_that_are_withdrawn_end_the_short_way_within_a_tick(
    store: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    keys.write_bytes(key_set())
    settings = ServingSettings(store=str(store), tokens=Demand.REQUIRED, token_keys=str(keys))
    token = cat({EXP: NOW + 3600, CATU: {3: {1: "/film/"}}}, alg=ES256)
    request = ask(b"small").replace(b"/film/", b"/film;CAT=" + token + b"/")
    with by_hand(store, settings=settings) as served, closing(served.connect()) as client:
        reading = Reading(client)
        for _ in range(3):
            client.send(request)
            assert reading.answer()[0] == 200
        served.worker.answerer.gate.renew(KeySet())
        served.pass_time(0.25)
        client.send(request)
        assert reading.answer()[0] == 403


def test_an_object_that_was_replaced_is_seen_on_the_short_way_too(tmp_path: Path) -> None:
    put_object(tmp_path / "store", "film/v1/a", b"first")
    with by_hand(tmp_path / "store") as served, closing(served.connect()) as client:
        reading = Reading(client)
        for _ in range(3):
            client.send(ask(b"a"))
            assert reading.answer()[2] == b"first"
        put_object(tmp_path / "store", "film/v1/a", b"second")
        served.pass_time(1.25)
        client.send(ask(b"a"))
        assert reading.answer()[2] == b"second"


def test_an_answer_is_kept_no_longer_than_its_object_is_open(store: Path) -> None:
    settings = ServingSettings(store=str(store), limits=Limits(open_files=1))
    with by_hand(store, settings=settings) as served, closing(served.connect()) as client:
        reading = Reading(client)
        for name, body in ((b"small", SMALL), (b"middle", MIDDLE)) * 5:
            for _ in range(3):
                client.send(ask(name))
                assert reading.answer()[2] == body
    assert served.counts(tally.BROKEN_OFF) == served.counts(tally.FAULTS) == 0


def test_answers_are_kept_within_a_bound(store: Path) -> None:
    with by_hand(store) as served, closing(served.connect()) as client:
        reading = Reading(client)
        for number in range(ANSWERS_MAX + 100):
            client.send(ask(b"middle", b"Range: bytes=%d-%d" % (number, number)))
            assert reading.answer()[2] == MIDDLE[number : number + 1]
        assert 0 < len(served.worker.hot.answers) <= ANSWERS_MAX


def test_records_stand_for_as_many_requests_as_there_were(store: Path, tmp_path: Path) -> None:
    lines: list[bytes] = []

    class Lines:
        def put(self, line: bytes) -> None:
            lines.append(line)

    def teller(row: "memoryview[int]") -> Teller:
        telling = Telling(records=str(tmp_path / "records"), records_per_s=5)
        return Teller(telling, Lines(), row, worker=0, wall_clock=lambda: NOW)

    with by_hand(store, teller=teller) as served:
        slow = served.connect(receive_buffer_bytes=2304, send_buffer_bytes=4608)
        quick = served.connect()
        assert served.worker.teller is not None
        requests = 0
        for second in range(4):
            served.worker.teller.tick(float(second * 2))
            for number in range(60):
                client = slow if number % 7 == 0 else quick
                client.send(ask(b"middle" if number % 2 else b"small"))
                assert Reading(client).answer()[0] == 200
                requests += 1
        sampler = served.worker.teller.requests
        recorded = sum(msgspec.json.decode(line).get("weight", 1) for line in lines)
        assert len(lines) < requests
        assert recorded + sampler._stretch - sampler.countdown == requests
        slow.close()
        quick.close()
