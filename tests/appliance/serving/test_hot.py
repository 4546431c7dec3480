"""The short way of an answer: what it counts, and what it never outlives."""

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from appliance.serving.conversation import BIG, MIDDLE, Clients, Reading, ask, put_bodies
from appliance.serving.test_tls import make_certificate
from appliance.serving.worker_by_hand import ByHand, by_hand

from sluice_appliance.serving import tally
from sluice_appliance.serving.connection import BURST_BYTES
from sluice_appliance.serving.hot import HOT_BYTES_MAX, TIMED_EVERY
from sluice_appliance.serving.openssl import Context, TlsFiles
from sluice_appliance.serving.popularity import Hits


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


def test_the_sizes_here_are_on_both_sides_of_what_goes_the_short_way() -> None:
    assert len(MIDDLE) < HOT_BYTES_MAX < len(BIG) < BURST_BYTES
