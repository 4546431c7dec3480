"""`sluice-dns run` beside a scripted control plane: real processes, real mutual TLS, real signatures."""

import datetime
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dns.message
import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from sluice.steering.v1 import map_pb2, steering_pb2, steering_pb2_grpc
from sluice_dns.map_file import PURPOSE
from sluice_dns.testing.maps import MapOf
from sluice_dns.testing.server import Server, announced, free_port, started, wait_until
from sluice_runtime import rpc, signatures

SIGNING_KEY = Ed25519PrivateKey.generate()
STRANGERS_KEY = Ed25519PrivateKey.generate()
NAME = "b0000.v.sluice.test"


def signed(
    revision: int, last_byte: int, *, key: Ed25519PrivateKey = SIGNING_KEY
) -> map_pb2.SignedMap:
    """A map that names 127.0.30.`last_byte` for everything."""
    site = ("site-a", (f"127.0.30.{last_byte}",), ())
    payload = MapOf(revision=revision, sites=(site,), classes=((0,), (0,), (0,))).payload()
    return map_pb2.SignedMap(
        payload=payload,
        signature=signatures.sign(key, PURPOSE, payload),
        key_id=signatures.key_id(key.public_key()),
    )


class ControlPlane(steering_pb2_grpc.SteeringServiceServicer):
    """Sends what the test publishes, newer or not, and remembers what was asked."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.asked: list[int] = []
        self.callers: list[str] = []
        self._tls = rpc.TlsFiles.in_folder(folder / "server")
        self._news = threading.Condition()
        self._current: map_pb2.SignedMap | None = None
        self._closing = False

    def publish(self, current: map_pb2.SignedMap) -> None:
        with self._news:
            self._current = current
            self._news.notify_all()

    def WatchMap(
        self, request: steering_pb2.WatchMapRequest, context: grpc.ServicerContext
    ) -> Iterator[steering_pb2.WatchMapResponse]:
        self.asked.append(request.revision)
        uris: Any = context.auth_context()["x509_subject_alternative_name"]
        self.callers.append(uris[0].decode())
        sent = None
        while context.is_active():
            with self._news:
                if self._current is sent:
                    self._news.wait(timeout=0.2)
                if self._closing:
                    return
                current = self._current
            if current is not sent and current is not None:
                sent = current
                yield steering_pb2.WatchMapResponse(map=current)

    def ExplainClient(
        self, request: steering_pb2.ExplainClientRequest, context: grpc.ServicerContext
    ) -> steering_pb2.ExplainClientResponse:
        raise AssertionError("a DNS server asks for no explanations")

    @contextmanager
    def serving(self) -> Iterator[None]:
        self._closing = False
        with ThreadPoolExecutor(4) as pool:
            server = grpc.server(pool, options=rpc.server_options())
            steering_pb2_grpc.add_SteeringServiceServicer_to_server(self, server)
            credentials = rpc.server_credentials(self._tls, want_client_certificate=True)
            assert server.add_secure_port(f"127.0.0.1:{self.port}", credentials)
            server.start()
            try:
                yield
            finally:
                with self._news:
                    self._closing = True
                    self._news.notify_all()
                server.stop(0).wait()


@pytest.fixture
def control_plane(tmp_path: Path) -> ControlPlane:
    authority = _Authority()
    authority.issue(tmp_path / "server", x509.DNSName(rpc.SERVER_NAME))
    uri = x509.UniformResourceIdentifier("spiffe://sluice/steerer/pop-1")
    authority.issue(tmp_path / "identity", uri)
    (tmp_path / "identity" / "verification.pem").write_bytes(
        b"".join(
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            for key in (Ed25519PrivateKey.generate(), SIGNING_KEY)
        )
    )
    return ControlPlane(tmp_path)


class _Authority:
    def __init__(self) -> None:
        self._key = generate_private_key(SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self.certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def issue(self, folder: Path, san: x509.GeneralName) -> None:
        key = generate_private_key(SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, folder.name)])
        certificate = (
            self._builder(name, key.public_key())
            .add_extension(x509.SubjectAlternativeName([san]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        folder.mkdir()
        (folder / "ca.pem").write_bytes(self.certificate.public_bytes(Encoding.PEM))
        (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        (folder / "key.pem").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )

    def _builder(self, subject: x509.Name, key: object) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)  # type: ignore[arg-type]
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
        )


def write_config(folder: Path, control_plane_port: int, more: str = "") -> tuple[Path, int]:
    path, admin_port = folder / "dns.toml", free_port()
    path.write_text(
        f'control_plane = "127.0.0.1:{control_plane_port}"\nidentity = "identity"\n'
        f'map = "dns/steering.map"\nlisten = ["127.0.0.1:0"]\n'
        f'admin_listen = "127.0.0.1:{admin_port}"\n{more}'
    )
    return path, admin_port


@contextmanager
def running(folder: Path, control_plane_port: int) -> Iterator[Callable[[], Server]]:
    """`sluice-dns run`; the returned function waits until it answers from a map."""
    path, admin_port = write_config(folder, control_plane_port)
    with started(["run", "--config", str(path)], log=folder / "log") as process:
        yield lambda: Server(process, *announced(process), admin_port)


def answer(server: Server) -> str:
    reply = dns.message.from_wire(server.ask(dns.message.make_query(NAME, "A").to_wire()))
    return str(reply.answer[0][0])


def named(server: Server, last_byte: int) -> None:
    wait_until(lambda: answer(server) == f"127.0.30.{last_byte}", f"127.0.30.{last_byte} named")


def received(server: Server, outcome: str, count: int) -> None:
    name = f'maps_received_total{{outcome="{outcome}"}}'
    wait_until(lambda: server.counters()[name] == count, f"{name} {count}")


def test_maps_are_taken_as_they_come_and_kept(control_plane: ControlPlane, tmp_path: Path) -> None:
    with control_plane.serving(), running(tmp_path, control_plane.port) as ready:
        control_plane.publish(signed(5, 1))
        server = ready()
        assert answer(server) == "127.0.30.1"
        control_plane.publish(signed(6, 2))
        named(server, 2)
        assert control_plane.asked == [0]
        assert control_plane.callers == ["spiffe://sluice/steerer/pop-1"]
        assert server.counters()['maps_received_total{outcome="written"}'] == 2
    with running(tmp_path, free_port()) as ready:
        # Nobody is there to ask: the last map answers.
        assert answer(ready()) == "127.0.30.2"


def test_a_map_that_is_older_or_a_strangers_is_refused(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    with control_plane.serving(), running(tmp_path, control_plane.port) as ready:
        control_plane.publish(signed(5, 1))
        server = ready()
        spoilt = signed(8, 4)
        spoilt.payload = spoilt.payload[:-1] + bytes((spoilt.payload[-1] ^ 1,))
        for wrong, outcome, count in (
            (signed(4, 2), "older", 1),
            (signed(7, 3, key=STRANGERS_KEY), "refused", 1),
            (spoilt, "refused", 2),
            (map_pb2.SignedMap(payload=signed(9, 5).payload), "refused", 3),
        ):
            control_plane.publish(wrong)
            received(server, outcome, count)
        assert answer(server) == "127.0.30.1"
        control_plane.publish(signed(10, 6))
        named(server, 6)


def test_a_map_file_that_a_stranger_wrote_is_not_answered_from(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    path = tmp_path / "dns" / "steering.map"
    path.parent.mkdir()
    path.write_bytes(signed(9, 9, key=STRANGERS_KEY).SerializeToString())
    with control_plane.serving(), running(tmp_path, control_plane.port) as ready:
        control_plane.publish(signed(1, 1))
        assert answer(ready()) == "127.0.30.1"


def test_a_lost_control_plane_changes_nothing_and_is_joined_again(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    with running(tmp_path, control_plane.port) as ready:
        with control_plane.serving():
            control_plane.publish(signed(5, 1))
            server = ready()
        wait_until(lambda: server.counters()["watch_breaks_total"] >= 1, "the break")
        assert answer(server) == "127.0.30.1"
        assert server.health()["healthy"]
        with control_plane.serving():
            control_plane.publish(signed(6, 2))
            named(server, 2)
        # It said what it had, so that only what is newer need be sent.
        assert control_plane.asked[-1] == 5


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("lisen = []\n", "dns.toml:6: unknown key 'lisen'; did you mean 'listen'?"),
        ("workers = 0\n", "dns.toml:6: workers is 0, expected 1..256"),
        ("tcp_idle_timeout_s = 0.0\n", "tcp_idle_timeout_s is 0.0, expected 0.1..300.0"),
        ('workers = "two"\n', "'workers' is 'two', expected a value of type int"),
        ("tcp_connections_per_address_max = 300\n", "is 300, expected 1..256"),
        ("= 3\n", "dns.toml:6: "),
    ],
)
def test_a_wrong_setting_is_named_with_its_line(tmp_path: Path, more: str, said: str) -> None:
    path, _ = write_config(tmp_path, 8443, more)
    for argv in (["check-config", str(path)], ["run", "--config", str(path)]):
        done = _run(*argv)
        assert done.returncode == 2
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_check_config_says_ok(tmp_path: Path) -> None:
    path, _ = write_config(tmp_path, 8443)
    done = _run("check-config", str(path))
    assert (done.returncode, done.stdout) == (0, f"{path}: ok\n")


def test_a_missing_identity_is_named(tmp_path: Path) -> None:
    path, _ = write_config(tmp_path, 8443)
    done = _run("run", "--config", str(path))
    assert done.returncode == 2
    assert f"{tmp_path}/identity/ca.pem" in done.stderr


def _run(*argv: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "sluice_dns.main", *argv],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
