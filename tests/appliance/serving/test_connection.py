"""One conversation over every way that an answer can take, met at every point where it can stop."""

import random
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from appliance.serving.conversation import (
    BIG,
    BODIES,
    MIDDLE,
    SMALL,
    Answer,
    Clients,
    Reading,
    ask,
    put_bodies,
)
from appliance.serving.slow_disk import evict
from appliance.serving.test_tls import make_certificate
from appliance.serving.worker_by_hand import (
    ByHand,
    PlainClient,
    SecureClient,
    by_hand,
    open_objects,
)

from sluice_appliance.serving import tally
from sluice_appliance.serving.objects import OpenObject
from sluice_appliance.serving.openssl import Context, TlsFiles
from sluice_appliance.serving.tls import (
    PIECE_BYTES_FIRST,
    PIECE_BYTES_MAX,
    PIECE_BYTES_MIN,
    TlsWire,
)
from sluice_appliance.serving.wire import PlainWire
from sluice_appliance.store.layout import object_path, parse_key


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_certificate(tmp_path_factory.mktemp("connection"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("connection-store") / "store"
    return put_bodies(root)


@pytest.fixture
def served(store: Path, files: TlsFiles) -> Iterator[ByHand]:
    with by_hand(store, context=Context(files)) as found:
        yield found


@pytest.fixture(params=["plain", "tls"])
def clients(request: pytest.FixtureRequest, served: ByHand, files: TlsFiles) -> Clients:
    return Clients(served, request.param, files)


# --- hot and long -----------------------------------------------------------------------------------

TABLE = [
    ask(name, *lines)
    for name, body in BODIES.items()
    for lines in (
        (),
        (b"Range: bytes=0-0",),
        (b"Range: bytes=3-9",),
        (b"Range: bytes=-5",),
        (b"Range: bytes=7-",),
        (b"Range: bytes=0-%d" % (len(body) - 1),),
        (b"Range: bytes=%d-" % len(body),),
        (b"Range: bytes=0-1,4-6",),
        (b"Range: bytes=1-3", b'If-Range: "other"'),
        (b"If-None-Match: *",),
        (b'If-None-Match: "other"',),
        (b'If-Match: "other"',),
        (b"If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT",),
        (b"If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT",),
        (b"User-Agent: somebody", b"Accept: */*"),
        (b"Connection: keep-alive",),
    )
]


def etag_of(lines: list[bytes]) -> bytes:
    (etag,) = [line[6:] for line in lines if line.startswith(b"ETag: ")]
    return etag


def conversation(clients: Clients, request: bytes, times: int) -> list[Answer]:
    with closing(clients.connect()) as client:
        reading = Reading(client)
        found = []
        for _ in range(times):
            client.send(request)
            found.append(reading.answer())
        return found


def conversed(client: PlainClient, request: bytes) -> Answer:
    client.send(request)
    return Reading(client).answer()


def test_whichever_way_an_answer_takes_it_is_the_same_to_the_byte(clients: Clients) -> None:
    """The first is parsed and goes the long way, the next are known; a HEAD never goes by the short one."""
    served = clients.served
    for request in TABLE:
        first, *known = conversation(clients, request, 4)
        assert known == [first] * 3, request
        # In two pieces nothing is known of it.
        with closing(clients.connect()) as client:
            client.send(request[:-3])
            client.send(request[-3:])
            assert Reading(client).answer() == first, request
            client.send(request.replace(b"GET", b"HEAD"))
            status, lines, _ = Reading(client).answer(head_only=True)
            if b"Range:" not in request and status == 200:
                assert (status, lines) == first[:2], request
    assert served.counts(tally.MEMO_HITS) >= 3 * len(TABLE)
    assert served.counts(tally.BROKEN_OFF) == 0


def test_whole_objects_and_ranges_are_the_very_bytes(clients: Clients) -> None:
    for name, body in BODIES.items():
        for _ in range(2):
            ((status, _, found),) = conversation(clients, ask(name), 1)
            assert (status, found == body) == (200, True)
            last = len(body) - 1
            for first in (0, 1, last // 2, last):
                request = ask(name, b"Range: bytes=%d-%d" % (first, last))
                for status, lines, found in conversation(clients, request, 2):
                    assert (status, found == body[first:]) == (206, True)
                    assert b"Content-Range: bytes %d-%d/%d" % (first, last, len(body)) in lines


def test_who_waited_for_a_disk_is_told_so_and_for_how_long_and_the_next_one_is_not(
    clients: Clients, store: Path
) -> None:
    evict(Path(object_path(str(store), parse_key("film/v1/big"))))
    request = ask(b"big", b"Range: bytes=1048576-1048585")
    first, *known = conversation(clients, request, 3)
    (timing,) = [line for line in first[1] if line.startswith(b"Server-Timing: ")]
    assert re.fullmatch(rb"Server-Timing: disk;dur=[0-9]+\.[0-9]", timing)
    assert b"Cache-Status: sluice; hit; detail=disk" in first[1]
    for _, lines, _ in known:
        assert not [line for line in lines if line.startswith(b"Server-Timing: ")]
        assert b"Cache-Status: sluice; hit" in lines
    counts = clients.served.counts
    assert (counts(tally.RESPONSES_FROM_DISK), counts(tally.BYTES_FROM_DISK)) == (1, 10)
    assert (counts(tally.RESPONSES_FROM_MEMORY), counts(tally.BYTES_FROM_MEMORY)) == (2, 20)


def test_who_waits_for_a_disk_for_too_long_is_ended(served: ByHand, store: Path) -> None:
    evict(Path(object_path(str(store), parse_key("film/v1/big"))))
    with closing(served.connect()) as client:
        client.socket.sendall(ask(b"big"))
        # What the disk gives is not told of: nobody calls what was to be called soon.
        for callback in list(served.loop.readers.values()):
            callback()
        served.pass_time(served.worker.limits.disk_s - 1)
        assert served.counts(tally.TIMEOUT_DISK) == 0
        served.pass_time(2)
        assert served.counts(tally.TIMEOUT_DISK) == 1
        assert client.receive(100) == b""
    # What was opened for nobody is let go of, and the object is there for others.
    with closing(served.connect()) as client:
        client.send(ask(b"big", b"Range: bytes=0-9"))
        assert Reading(client).answer()[0] == 206


def test_an_etag_that_was_given_is_one_that_validates(clients: Clients) -> None:
    etag = etag_of(conversation(clients, ask(b"middle"), 1)[0][1])
    for status, _, body in conversation(clients, ask(b"middle", b"If-None-Match: " + etag), 3):
        assert (status, body) == (304, b"")
    request = ask(b"middle", b"Range: bytes=5-9", b"If-Range: " + etag)
    for status, _, body in conversation(clients, request, 3):
        assert (status, body) == (206, MIDDLE[5:10])


# --- a client that takes little at a time -----------------------------------------------------------


@pytest.mark.parametrize("piece_bytes", [997, 16384])
def test_a_slow_client_gets_every_byte_at_whatever_point_it_stalls(
    clients: Clients, piece_bytes: int
) -> None:
    served = clients.served
    with closing(clients.connect(receive_buffer_bytes=2304, send_buffer_bytes=4608)) as client:
        reading = Reading(client, piece_bytes)
        # The last has a body beyond the short way, with parts.
        for line, pieces in (
            (b"Accept: */*", [MIDDLE]),
            (b"Accept: */*", [MIDDLE]),
            (b"Range: bytes=100-250000", [MIDDLE[100:250_001]]),
            (b"Range: bytes=1-99999,150000-", [MIDDLE[1:100_000], MIDDLE[150_000:]]),
        ):
            client.send(ask(b"middle", line))
            status, _, body = reading.answer()
            assert status in (200, 206)
            assert all(piece in body for piece in pieces)
        client.send(ask(b"small"))
        assert reading.answer()[2] == SMALL
    assert served.counts(tally.SEND_STALLS) > 4
    assert served.counts(tally.REQUESTS) == served.counts(tally.RESPONSES_2XX) == 5


def test_parts_of_a_body_are_whole_for_a_client_that_takes_little(clients: Clients) -> None:
    lines = b"Range: bytes=0-0,10-20,100000-200000,-7"
    (expected,) = conversation(clients, ask(b"middle", lines), 1)
    with closing(clients.connect(receive_buffer_bytes=2304, send_buffer_bytes=4608)) as client:
        client.send(ask(b"middle", lines))
        assert Reading(client, 501).answer() == expected


def test_pipelined_requests_are_answered_in_order_however_they_are_cut(clients: Clients) -> None:
    rng = random.Random(9)
    names = [rng.choice([b"small", b"middle", b"absent"]) for _ in range(30)]
    together = b"".join(map(ask, names))
    with closing(clients.connect(receive_buffer_bytes=8192)) as client:
        reading = Reading(client)
        at = 0
        while at < len(together):
            size = rng.choice([1, 30, 60, 500, 2000])
            client.send(together[at : at + size])
            at += size
        for name in names:
            status, _, body = reading.answer()
            assert status == (200 if name in BODIES else 404)
            assert body == BODIES.get(name, body)


def test_what_is_asked_while_an_answer_is_on_its_way_is_answered_next(clients: Clients) -> None:
    with closing(clients.connect(receive_buffer_bytes=2304, send_buffer_bytes=4608)) as client:
        reading = Reading(client)
        client.send(ask(b"middle"))
        assert client.receive(10) == b"HTTP/1.1 2"
        client.send(ask(b"small"))
        reading._received += b"HTTP/1.1 2"
        assert reading.answer()[2] == MIDDLE
        assert reading.answer()[2] == SMALL


def test_a_client_that_has_closed_its_side_still_gets_its_answer(served: ByHand) -> None:
    with closing(served.connect(receive_buffer_bytes=2304)) as client:
        client.socket.sendall(ask(b"middle") + ask(b"small"))
        client.end()
        reading = Reading(client)
        assert reading.answer()[2] == MIDDLE
        assert reading.answer()[2] == SMALL
        assert reading.ended()
    served.loop.turn()
    assert served.counts(tally.CONNECTIONS_CLOSED) == 1
    assert served.counts(tally.BROKEN_OFF) == 0


def test_clients_that_leave_at_any_point_leave_nothing_behind(clients: Clients) -> None:
    """What `by_hand` looks at in the end: no object is held, no descriptor is left over."""
    served, rng = clients.served, random.Random(13)
    broken = 0
    for number in range(40):
        client = clients.connect(receive_buffer_bytes=rng.choice([0, 2304]))
        name = rng.choice([b"big", b"middle"])
        client.send(ask(name, *rng.choice([(), (b"Range: bytes=0-9,20000-200000",)])))
        for _ in range(rng.randrange(4)):
            client.receive(rng.randrange(1, 60_000))
        if number % 2:
            client.reset()
        else:
            client.close()
        broken += 1
        for _ in range(3):
            served.loop.turn()
    with closing(clients.connect()) as client:
        client.send(ask(b"small"))
        assert Reading(client).answer()[2] == SMALL
        assert len(served.worker._clients) == 1
    assert {found.users for found in open_objects(served.worker)} == {1}
    assert served.counts(tally.REQUESTS) == broken + 1
    assert served.counts(tally.FAULTS) == 0


# What a record adds: a head of 5 bytes, a content type, a tag of 16.
_OF_RECORDS = (PIECE_BYTES_MAX // (16 * 1024) + 2) * 22


def most_kept(client: PlainClient, wire: TlsWire, name: bytes) -> int:
    """How much of an object waits in memory of ours, at most, while its client reads it slowly."""
    client.send(ask(name))
    reading, most = Reading(client), 0
    while len(reading._received) < len(BODIES[name]):
        most = max(most, len(wire._left))
        reading._more()
    assert reading.answer()[2] == BODIES[name]
    return most


def test_a_slow_client_over_tls_holds_no_more_than_a_small_piece_in_memory(
    served: ByHand, files: TlsFiles
) -> None:
    clients = Clients(served, "tls", files)
    with closing(clients.connect(receive_buffer_bytes=2304, send_buffer_bytes=4608)) as client:
        (connection,) = served.worker._clients
        wire = connection._wire  # type: ignore[attr-defined]
        room = _OF_RECORDS + 16 * 1024
        assert 0 < most_kept(client, wire, b"big") <= PIECE_BYTES_FIRST + room
        assert 0 < most_kept(client, wire, b"big") <= PIECE_BYTES_MIN + room


def test_who_takes_pieces_whole_gets_larger_ones_until_one_is_too_large(
    served: ByHand, files: TlsFiles
) -> None:
    clients = Clients(served, "tls", files)
    with closing(clients.connect(send_buffer_bytes=1 << 22)) as client:
        (connection,) = served.worker._clients
        wire = connection._wire  # type: ignore[attr-defined]
        for _ in range(9):
            assert conversed(client, ask(b"small"))[2] == SMALL
        # Little that goes out whole says nothing of more.
        assert wire._piece_bytes == PIECE_BYTES_FIRST
        for _ in range(2):
            assert conversed(client, ask(b"middle"))[2] == MIDDLE
        assert wire._piece_bytes == PIECE_BYTES_MAX
        # More than all buffers hold.
        client.send(ask(b"big") * 5)
        assert wire._piece_bytes == PIECE_BYTES_MIN
        reading = Reading(client)
        assert [reading.answer()[2] == BIG for _ in range(5)] == [True] * 5


# --- time -------------------------------------------------------------------------------------------


class Stingy(PlainWire):
    """Of a client that takes so many bytes more, and then none."""

    __slots__ = ("left",)

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(accepted)
        self.left = 1 << 30

    def send(self, data: bytes, *, more: bool) -> int:
        return self._taken(super().send(data[: self.left], more=more) if self.left else 0)

    def send_body(self, source: OpenObject, offset: int, length: int) -> int:
        if not self.left:
            return 0
        return self._taken(super().send_body(source, offset, min(length, self.left)))

    def send_with_body(self, head: bytes, source: OpenObject, offset: int, length: int) -> int:
        return self.send(head + bytes(source.piece(offset, length)), more=False)

    def _taken(self, sent: int) -> int:
        self.left -= sent
        return sent


@pytest.mark.parametrize("takes", [0, 10, 300])
@pytest.mark.parametrize(
    "request_bytes",
    [ask(b"small"), ask(b"middle"), ask(b"big"), ask(b"middle", b"Range: bytes=1-2,5-6")],
)
def test_a_player_that_paused_is_given_time_to_take_its_next_piece(
    served: ByHand, request_bytes: bytes, takes: int
) -> None:
    """The pause is longer than a client may go without taking a byte of what it is sent."""
    with closing(served.connect(wire=Stingy)) as client:
        (connection,) = served.worker._clients
        reading = Reading(client)
        # Known then: it goes the short way where it can.
        for _ in range(3):
            client.send(request_bytes)
            reading.answer()
        served.pass_time(50)
        connection._wire.left = takes  # type: ignore[attr-defined]
        client.send(request_bytes)
        served.pass_time(29)
        assert served.counts(tally.TIMEOUT_WRITE) == 0
        served.pass_time(2)
        assert served.counts(tally.TIMEOUT_WRITE) == 1


def test_a_client_that_takes_nothing_is_ended_in_time(clients: Clients) -> None:
    served = clients.served
    with closing(clients.connect(receive_buffer_bytes=2304, send_buffer_bytes=4608)) as client:
        client.send(ask(b"big"))
        served.loop.turn()
        served.pass_time(29)
        assert served.counts(tally.TIMEOUT_WRITE) == 0
        served.pass_time(2)
        assert served.counts(tally.TIMEOUT_WRITE) == 1
        assert served.counts(tally.BROKEN_OFF) == 1


# --- ending -----------------------------------------------------------------------------------------


def test_of_requests_that_were_read_before_a_drain_only_the_last_answer_says_close(
    clients: Clients,
) -> None:
    with closing(clients.connect(receive_buffer_bytes=2304, send_buffer_bytes=4608)) as client:
        reading = Reading(client)
        client.send(ask(b"middle") + ask(b"small") + ask(b"absent") + ask(b"small"))
        clients.served.drain()
        answers = [reading.answer() for _ in range(4)]
        assert [status for status, _, _ in answers] == [200, 200, 404, 200]
        assert [b"Connection: close" in lines for _, lines, _ in answers] == [False] * 3 + [True]
        assert reading.ended()


def test_a_handshake_under_way_when_a_drain_begins_is_finished_and_answered_with_close(
    served: ByHand, files: TlsFiles
) -> None:
    clients = Clients(served, "tls", files)
    with closing(clients.connect()) as client:
        for _ in range(3):
            client.send(ask(b"small"))
            Reading(client).answer()
    near = served.expect_handshake()
    served.drain()
    context = ssl.create_default_context(cafile=str(files.certificate))
    with closing(SecureClient(near, served.loop, context, None)) as client:
        client.shake_hands()
        client.send(ask(b"small"))
        reading = Reading(client)
        status, lines, body = reading.answer()
        assert (status, body) == (200, SMALL)
        assert b"Connection: close" in lines
        assert reading.ended()


def test_a_connection_that_goes_wrong_when_it_is_looked_after_is_the_only_one_ended(
    served: ByHand,
) -> None:
    with closing(served.connect()) as wrong, closing(served.connect()) as right:
        (first, _) = sorted(served.worker._clients, key=lambda each: each._wire.fd)  # type: ignore[attr-defined]
        first._since = None  # type: ignore[attr-defined]
        with pytest.raises(TypeError):
            first.check()
        served.failures.clear()
        served.pass_time(1)
        assert [type(each) for each in served.failures] == [TypeError]
        served.failures.clear()
        assert wrong.receive(1) == b""
        right.send(ask(b"small"))
        assert Reading(right).answer()[2] == SMALL
