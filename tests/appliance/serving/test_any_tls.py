"""Any bytes in the place of TLS's get an alert or a close, and the worker lives: before, in and behind a handshake.

What a true client would send is changed in a few places, or cut; then the client sends no more.
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest
from appliance.serving.serve_process import put_object
from appliance.serving.test_any_bytes import CORPUS, expected_of, statuses_of
from appliance.serving.test_tls import make_certificate
from appliance.serving.worker_by_hand import ByHand, SecureClient, by_hand
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice_appliance.serving import tally
from sluice_appliance.serving.openssl import Context, TlsFiles

BODY = b"a small object\n"
REQUEST = b"GET /film/v1/small.txt HTTP/1.1\r\nHost: a\r\n\r\n"
# The last flight has two records, so that a true one may stand before a false one.
FLIGHTS = ("hello", "finish", "requests")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_certificate(tmp_path_factory.mktemp("any-tls"))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, files: TlsFiles) -> Iterator[ByHand]:
    root = tmp_path_factory.mktemp("any-tls-store") / "store"
    put_object(root, "film/v1/small.txt", BODY, "text/plain")
    put_object(root, "film/v1/empty", b"")
    with by_hand(root, context=Context(files)) as found:
        yield found


def trusting(files: TlsFiles, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(files.certificate))
    context.minimum_version = context.maximum_version = version
    return context


class Change:
    """Of one flight: from where on how much is replaced, in ten thousandths, and by what; then where it is cut."""

    def __init__(self, places: list[tuple[int, int, bytes]], cut: int | None) -> None:
        self._places = places
        self._cut = cut

    def __call__(self, sent: bytes) -> bytes:
        for place, length, by in self._places:
            first = place * len(sent) // 10_000
            sent = sent[:first] + by + sent[first + length :]
        return sent if self._cut is None else sent[: self._cut * len(sent) // 10_000]

    def __repr__(self) -> str:
        return f"Change({self._places}, {self._cut})"


_RECORDS = [
    b"\x15\x03\x03\x00\x02\x01\x00",
    b"\x16\x03\x03\x40\x01",
    b"\x14\x03\x03\x00\x01\x01",
    b"\x17\x03\x03\xff\xff",
    b"\x17\x03\x03\x00\x00",
    b"\x80\x2e\x01\x03\x01",
    REQUEST,
]
_places = st.integers(0, 10_000)
_changes = st.builds(
    Change,
    st.lists(
        st.tuples(_places, st.integers(0, 300), st.binary(max_size=6) | st.sampled_from(_RECORDS)),
        max_size=3,
    ),
    st.none() | _places,
)
_versions = st.sampled_from([ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


def converse(served: ByHand, context: ssl.SSLContext, changed: str, change: Change) -> bytes:
    """What a client reads that changes one of its flights and then sends no more."""
    near = served.expect_handshake()
    client = SecureClient(near, served.loop, context, None)
    with closing(near):
        for flight in FLIGHTS:
            sent = next_flight(client, flight)
            near.sendall(change(sent) if flight == changed else sent)
            served.loop.turn()
            if flight == changed:
                break
        near.shutdown(socket.SHUT_WR)
        while piece := client_bytes(client):
            client.incoming.write(piece)
        client.incoming.write_eof()
        received = b""
        with suppress(ssl.SSLError):
            if flight == "requests":
                while piece := client.tls.read(65536):
                    received += piece
        return received


def next_flight(client: SecureClient, flight: str) -> bytes:
    while True:
        with suppress(ssl.SSLWantReadError):
            client.tls.do_handshake()
            if flight == "requests":
                client.tls.write(REQUEST)
                client.tls.write(REQUEST)
        if client.outgoing.pending:
            return client.outgoing.read()
        client.incoming.write(client_bytes(client))


def client_bytes(client: SecureClient) -> bytes:
    """What has come next; b"" at the end of the stream."""

    def taken() -> bytes | None:
        try:
            return client.socket.recv(65536)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            return b""

    return client._loop.turn_until(taken)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(version=_versions, flight=st.sampled_from(FLIGHTS), change=_changes)
def test_a_flight_changed_anywhere_gets_an_end_and_hinders_nobody(
    served: ByHand, files: TlsFiles, version: ssl.TLSVersion, flight: str, change: Change
) -> None:
    context = trusting(files, version)
    with closing(served.secure(context)) as beside:
        before = len(served.worker._clients)
        received = converse(served, context, flight, change)
        # Whole answers to what was really asked, or none.
        assert statuses_of(received) in ([], [200], [200, 200]), received
        assert len(served.worker._clients) == before
        beside.send(REQUEST)
        assert beside.receive(65536).endswith(BODY)
    served.loop.turn()


@settings(max_examples=60)
@given(sent=st.binary(max_size=300) | st.sampled_from([path.read_bytes() for path in CORPUS]))
def test_any_bytes_in_the_place_of_a_handshake_are_a_failed_one(
    served: ByHand, sent: bytes
) -> None:
    before = served.counts(tally.TLS_FAILURES)
    near = served.expect_handshake()
    with closing(near):
        with suppress(OSError):
            near.sendall(sent[:100_000])
            served.loop.turn()
            near.shutdown(socket.SHUT_WR)

        def ended() -> bool | None:
            try:
                return True if not near.recv(65536) else None
            except BlockingIOError:
                return None
            except ConnectionResetError:
                return True

        served.loop.turn_until(ended)
    assert served.counts(tally.TLS_FAILURES) == before + 1


def test_a_request_of_the_corpus_gets_over_tls_the_statuses_that_its_name_says(
    served: ByHand, files: TlsFiles
) -> None:
    context = trusting(files, ssl.TLSVersion.TLSv1_3)
    wrong = {}
    for path in CORPUS:
        with closing(served.secure(context)) as client:
            client.send(path.read_bytes())
            client.end()
            answers = b""
            while piece := client.receive(65536):
                answers += piece
        if statuses_of(answers) != expected_of(path):
            wrong[path.name] = answers
    assert not wrong
