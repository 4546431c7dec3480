"""HTTPS by a real server, with a certificate made for the test."""

import datetime
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from appliance.serving.serve_process import (
    Served,
    eventually,
    put_object,
    read_response,
    read_to_end,
    serve,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sluice_appliance.serving.errors import TlsFilesRefused
from sluice_appliance.serving.openssl import Context, TlsFiles

BODY = bytes(range(256)) * 12_000


def make_certificate(folder: Path) -> TlsFiles:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = TlsFiles(folder / "cert.pem", folder / "key.pem")
    files.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
    files.key.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
    return files


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, files: TlsFiles) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("serving-tls") / "store"
    put_object(root, "film/v1/a.mp4", BODY)
    with serve(root, "--tls-cert", str(files.certificate), "--tls-key", str(files.key)) as running:
        yield running


def secure(served: Served, files: TlsFiles, version: ssl.TLSVersion) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(files.certificate))
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context.wrap_socket(
        served.connect(), server_hostname="localhost", suppress_ragged_eofs=False
    )


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_objects_and_ranges_arrive_whole_over_tls(
    served: Served, files: TlsFiles, version: ssl.TLSVersion
) -> None:
    with closing(secure(served, files, version)) as client:
        assert client.selected_alpn_protocol() == "http/1.1"
        for _ in range(2):
            client.sendall(b"GET /film/v1/a.mp4 HTTP/1.1\r\nHost: a\r\n\r\n")
            assert read_response(client)[2] == BODY
        client.sendall(
            b"GET /film/v1/a.mp4 HTTP/1.1\r\nHost: a\r\nRange: bytes=100001-900002\r\n\r\n"
        )
        assert read_response(client)[2] == BODY[100_001:900_003]


def test_requests_that_came_in_one_record_are_all_answered(served: Served, files: TlsFiles) -> None:
    with closing(secure(served, files, ssl.TLSVersion.TLSv1_3)) as client:
        ask = b"GET /film/v1/a.mp4 HTTP/1.1\r\nHost: a\r\nRange: bytes=%d-%d\r\n\r\n"
        # Beyond one read of the server's, so that what OpenSSL holds back has to be asked for.
        count = 400
        client.sendall(b"".join(ask % (i, i + 9) for i in range(count)))
        for i in range(count):
            assert read_response(client)[2] == BODY[i : i + 10]


def test_a_client_with_two_requests_on_the_way_may_be_slow_to_take_the_second_answer(
    served: Served, files: TlsFiles
) -> None:
    """Each in a record of its own, both there at once: the first is answered in one go, the second stalls."""
    small = b"GET /film/v1/a.mp4 HTTP/1.1\r\nHost: a\r\nRange: bytes=0-9\r\n\r\n"
    large = b"GET /film/v1/a.mp4 HTTP/1.1\r\nHost: a\r\n\r\n"
    with closing(secure(served, files, ssl.TLSVersion.TLSv1_3)) as client:
        for request, body in ((large, BODY), (large, BODY), (small, BODY[:10])):
            client.sendall(request)
            assert read_response(client)[2] == body
        stalls = served.counters()["sluice_appliance_send_stalls_total"]
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        client.sendall(small)
        client.sendall(large)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
        eventually(
            lambda: served.counters()["sluice_appliance_send_stalls_total"] > stalls, "a stall"
        )
        assert read_response(client)[2] == BODY[:10]
        assert read_response(client)[2] == BODY


def test_the_end_is_told_apart_from_a_cut(served: Served, files: TlsFiles) -> None:
    with closing(secure(served, files, ssl.TLSVersion.TLSv1_3)) as client:
        client.sendall(b"GET /absent HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert read_response(client)[0] == 404
        assert client.recv(10) == b""


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\0\x05hello", b"\0" * 500]
)
def test_what_is_no_handshake_is_counted_and_harms_nobody(
    served: Served, files: TlsFiles, sent: bytes
) -> None:
    name = "sluice_appliance_tls_failures_total"
    before = served.counters()[name]
    with closing(served.connect()) as client:
        client.sendall(sent)
        # The server may have closed already.
        with suppress(OSError):
            client.shutdown(socket.SHUT_WR)
        read_to_end(client)
    eventually(lambda: served.counters()[name] == before + 1, "a failed handshake counted")
    with closing(secure(served, files, ssl.TLSVersion.TLSv1_3)) as client:
        client.sendall(b"HEAD /film/v1/a.mp4 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_response(client, head_only=True)[0] == 200


def test_versions_before_1_2_are_not_spoken(served: Served) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    # Debian's own policy would keep a client from asking for it.
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with closing(served.connect()) as plain, pytest.raises(ssl.SSLError, match=r"(?i)version"):
        context.wrap_socket(plain, server_hostname="localhost")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_resumes_whichever_worker_its_client_meets(
    tmp_path: Path, files: TlsFiles, version: ssl.TLSVersion
) -> None:
    put_object(tmp_path / "store", "film/v1/a.mp4", BODY)
    options = ("--tls-cert", str(files.certificate), "--tls-key", str(files.key))
    with serve(tmp_path / "store", *options, workers=2) as served:
        context = ssl.create_default_context(cafile=str(files.certificate))
        context.minimum_version = context.maximum_version = version
        session = None
        for number in range(16):
            with closing(
                context.wrap_socket(served.connect(), server_hostname="localhost", session=session)
            ) as client:
                client.sendall(b"HEAD /film/v1/a.mp4 HTTP/1.1\r\nHost: a\r\n\r\n")
                assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
                assert client.session_reused == (number > 0)
                session = client.session
        resumed = "sluice_appliance_tls_resumed_total"
        eventually(lambda: served.counters()[resumed] == 15, "all but the first resumed")


def test_files_that_cannot_serve_are_named(files: TlsFiles, tmp_path: Path) -> None:
    with pytest.raises(TlsFilesRefused, match=r"nowhere\.pem: No such file"):
        Context(TlsFiles(tmp_path / "nowhere.pem", files.key))
    with pytest.raises(TlsFilesRefused, match=r"cert\.pem with .*cert\.pem"):
        Context(TlsFiles(files.certificate, files.certificate))


def test_a_session_resumes_with_a_worker_that_took_anothers_place(
    tmp_path: Path, files: TlsFiles
) -> None:
    put_object(tmp_path / "store", "film/v1/a.mp4", BODY)
    options = ("--tls-cert", str(files.certificate), "--tls-key", str(files.key))
    with serve(tmp_path / "store", *options) as served:
        context = ssl.create_default_context(cafile=str(files.certificate))
        session, workers = None, []
        for _ in range(3):
            with closing(
                context.wrap_socket(served.connect(), server_hostname="localhost", session=session)
            ) as client:
                client.sendall(b"HEAD /film/v1/a.mp4 HTTP/1.1\r\nHost: a\r\n\r\n")
                assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
                assert client.session_reused == (session is not None)
                session = client.session
            workers += served.workers()
            replace_worker(served)
        assert len(set(workers)) == 3


def replace_worker(served: Served) -> None:
    name = "sluice_appliance_worker_replacements_total"
    before = served.counters()[name]
    served.process.send_signal(signal.SIGHUP)
    eventually(lambda: served.counters()[name] == before + 1, "the worker replaced")
    eventually(lambda: len(served.workers()) == 1, "the worker from before ended")


def test_a_handshake_under_way_while_its_worker_is_replaced_is_finished_and_answered(
    tmp_path: Path, files: TlsFiles
) -> None:
    put_object(tmp_path / "store", "film/v1/a.mp4", BODY)
    options = ("--tls-cert", str(files.certificate), "--tls-key", str(files.key))
    with serve(tmp_path / "store", *options) as served:
        context = ssl.create_default_context(cafile=str(files.certificate))
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        hello = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            hello.do_handshake()
        with closing(served.connect()) as client:
            client.sendall(outgoing.read())
            incoming.write(client.recv(65536))
            (before,) = served.workers()
            name = "sluice_appliance_worker_replacements_total"
            served.process.send_signal(signal.SIGHUP)
            eventually(lambda: served.counters()[name] == 1, "the worker replaced")
            assert before in served.workers()
            hello.do_handshake()
            hello.write(b"GET /film/v1/a.mp4 HTTP/1.1\r\nHost: a\r\nRange: bytes=0-9\r\n\r\n")
            client.sendall(outgoing.read())
            while piece := client.recv(65536):
                incoming.write(piece)
            answer = hello.read(65536)
            assert b"\r\nConnection: close\r\n" in answer
            assert answer.endswith(BODY[:10])


def test_what_name_a_client_asks_for_is_no_matter(served: Served) -> None:
    """There is one certificate; the client judges whether it will do."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for name in ("b0173.v.example", "xn--bcher-kva.example", None):
        with closing(context.wrap_socket(served.connect(), server_hostname=name)) as client:
            client.sendall(b"HEAD /film/v1/a.mp4 HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
