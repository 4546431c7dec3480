"""What OpenSSL does on its own between two requests stays on the connection that it is for."""

import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from appliance.serving.openssl_client import TLS_1_2, TLS_1_3, OpensslClient
from appliance.serving.serve_process import put_object
from appliance.serving.test_tls import make_certificate
from appliance.serving.worker_by_hand import ByHand, SecureClient, by_hand

from sluice_appliance.serving import tally
from sluice_appliance.serving.openssl import Context, TlsFiles
from sluice_appliance.serving.ticket_keys import TicketKeys

BODY = bytes(range(256)) * 16
REQUEST = b"GET /film/v1/a HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_certificate(tmp_path_factory.mktemp("openssl"))


@pytest.fixture
def served(tmp_path: Path, files: TlsFiles) -> Iterator[ByHand]:
    put_object(tmp_path / "store", "film/v1/a", BODY)
    with by_hand(tmp_path / "store", context=Context(files)) as found:
        yield found


def trusting(files: TlsFiles, **options: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(files.certificate))
    for name, version in options.items():
        setattr(context, name, version)
    return context


def body_of(client: SecureClient | OpensslClient) -> bytes:
    """The body of one answer to REQUEST."""
    received = b""
    while not received.endswith(BODY):
        piece = client.receive(16384)
        assert piece, f"the connection ended after {len(received)} bytes"
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    return body


def strange(served: ByHand, version: int) -> OpensslClient:
    return OpensslClient(served.expect_handshake(), version, served.loop.turn)


def test_to_negotiate_again_is_refused_and_its_connection_ends(served: ByHand) -> None:
    with closing(strange(served, TLS_1_2)) as odd:
        odd.send(REQUEST)
        assert body_of(odd) == BODY
        odd.ask_to_negotiate_again()
        with pytest.raises(OSError, match="broke TLS off"):
            odd.receive(100)


def test_what_is_refused_to_one_is_not_told_to_another(served: ByHand, files: TlsFiles) -> None:
    """A ClientHello with a request right behind it: OpenSSL writes its refusal, and reads on."""
    with closing(served.secure(trusting(files))) as other, closing(strange(served, TLS_1_2)) as odd:
        odd.send(REQUEST)
        assert body_of(odd) == BODY
        odd.socket.sendall(odd.seal([(22, b"\1\0\0\0"), (23, REQUEST[:10])], first=2))
        served.loop.turn()
        other.send(REQUEST)
        assert body_of(other) == BODY
        odd.socket.sendall(odd.seal([(23, REQUEST[10:])], first=4))
        served.loop.turn()
        assert served.counts(tally.REQUESTS) == 3


def test_new_keys_are_given_when_asked_for_to_nobody_but_who_asked(
    served: ByHand, files: TlsFiles
) -> None:
    with closing(served.secure(trusting(files))) as other, closing(strange(served, TLS_1_3)) as odd:
        for _ in range(5):
            odd.ask_for_new_keys()
            odd.send(REQUEST)
            other.send(REQUEST)
            assert body_of(other) == BODY
            assert body_of(odd) == BODY


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_who_says_goodbye_is_told_goodbye(
    served: ByHand, files: TlsFiles, version: ssl.TLSVersion
) -> None:
    context = trusting(files, minimum_version=version, maximum_version=version)
    with closing(served.secure(context)) as client:
        client.send(REQUEST)
        assert body_of(client) == BODY
        client.say_goodbye()


def test_a_silent_connection_that_is_ended_is_told_so(served: ByHand, files: TlsFiles) -> None:
    """RFC 8446, 6.1: "Each party MUST send a close_notify alert before closing its write side"."""
    with closing(served.secure(trusting(files))) as client:
        client.send(REQUEST)
        assert body_of(client) == BODY
        served.pass_time(61)
        assert served.counts(tally.TIMEOUT_REQUEST) == 1
        assert client.receive(100) == b""


def test_a_handshake_that_does_not_come_to_its_end_is_ended_in_time(served: ByHand) -> None:
    near = served.expect_handshake()
    with closing(near):
        # The head of a record, and then nothing more.
        near.sendall(b"\x16\x03\x01\x02\x00")
        served.loop.turn()
        served.pass_time(served.worker.limits.handshake_s / 2)
        assert served.counts(tally.TIMEOUT_HANDSHAKE) == 0
        served.pass_time(served.worker.limits.handshake_s / 2 + 1)
        assert served.counts(tally.TIMEOUT_HANDSHAKE) == 1
        assert near.recv(100) == b""


def test_sessions_resume_with_the_same_ticket_keys_and_not_with_others(
    tmp_path: Path, files: TlsFiles
) -> None:
    put_object(tmp_path / "store", "film/v1/a", BODY)
    keys, others = TicketKeys.made(), TicketKeys.made()
    client_context = trusting(files)
    session, resumed = None, []
    for ticket_keys in (keys, TicketKeys(keys.descriptor), others):
        with by_hand(tmp_path / "store", context=Context(files, ticket_keys)) as served:
            with closing(served.secure(client_context, session=session)) as client:
                client.send(REQUEST)
                assert body_of(client) == BODY
                resumed.append(client.tls.session_reused)
                session = client.tls.session
            assert served.counts(tally.TLS_RESUMED) == resumed[-1]
    assert resumed == [False, True, False]
    keys.close()
    others.close()


def test_sessions_that_were_sealed_with_former_keys_begin_anew_and_with_the_new_ones_resume(
    tmp_path: Path, files: TlsFiles
) -> None:
    put_object(tmp_path / "store", "film/v1/a", BODY)
    keys = TicketKeys.made()
    client_context = trusting(files)
    session, resumed = None, []
    with by_hand(tmp_path / "store", context=Context(files, keys)) as served:
        for renewed in (False, False, True, False):
            if renewed:
                keys.renew()
                served.pass_time(1)
            with closing(served.secure(client_context, session=session)) as client:
                client.send(REQUEST)
                assert body_of(client) == BODY
                resumed.append(client.tls.session_reused)
                session = client.tls.session
    assert resumed == [False, True, False, True]
    keys.close()


def test_who_offers_only_another_protocol_is_answered_in_http_1_1(
    served: ByHand, files: TlsFiles
) -> None:
    context = trusting(files)
    context.set_alpn_protocols(["h2"])
    with closing(served.secure(context)) as client:
        assert client.tls.selected_alpn_protocol() is None
        client.send(REQUEST)
        assert body_of(client) == BODY


@pytest.mark.parametrize("kernel", [False, True])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_requests_of_many_records_that_are_all_there_are_all_answered(
    tmp_path: Path, files: TlsFiles, version: ssl.TLSVersion, *, kernel: bool
) -> None:
    """More than OpenSSL takes of the socket at once, and nothing comes later that would tell of the rest."""
    put_object(tmp_path / "store", "film/v1/a", BODY)
    lines = [
        b"GET /film/v1/a HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (b"x" * size)
        for size in range(900)
    ]
    context = trusting(files, minimum_version=version, maximum_version=version)
    with (
        by_hand(tmp_path / "store", context=Context(files, kernel=kernel)) as served,
        closing(served.secure(context)) as client,
    ):
        for request in lines[::9]:
            client.tls.write(request)
        client.socket.sendall(client.outgoing.read())
        for _ in lines[::9]:
            assert body_of(client) == BODY
