"""A control plane that says what a test tells it to, over real mutual TLS."""

import datetime
import ipaddress
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from sluice.content.v1 import content_pb2
from sluice.steering.v1 import map_pb2, steering_pb2
from sluice.tokens.v1 import tokens_pb2
from sluice_runtime import rpc

_DAY = datetime.timedelta(days=1)


class ScriptedControlPlane:
    """Says the catalog and the map that were set last; `stop` and `start` are its outages."""

    def __init__(self, folder: Path) -> None:
        self.signing_key = Ed25519PrivateKey.generate()
        self.identity = folder / "identity"
        self._server_folder = folder / "server"
        write_identities(self.identity, self._server_folder, self.signing_key)
        self.said: dict[str, Any] = {"map": None, "catalog": None, "signing_keys": None}
        # The revisions that watchers asked from, in order.
        self.asked: list[tuple[str, int]] = []
        self._changed = threading.Condition()
        self._running = False
        self._server: grpc.Server | None = None
        self.port = 0
        self.start()

    def start(self) -> None:
        self._running = True
        self._server = grpc.server(
            futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)]
        )
        self._server.add_generic_rpc_handlers(_services(self))
        credentials = rpc.server_credentials(
            rpc.TlsFiles.in_folder(self._server_folder), want_client_certificate=True
        )
        self.port = self._server.add_secure_port(f"127.0.0.1:{self.port}", credentials)
        self._server.start()

    def stop(self) -> None:
        with self._changed:
            self._running = False
            self._changed.notify_all()
        assert self._server is not None
        self._server.stop(grace=0).wait()

    def say_map(self, signed_map: map_pb2.SignedMap) -> None:
        """Sends it to every watcher, whatever its revision: a test's control plane may lie."""
        self._say("map", steering_pb2.WatchMapResponse(map=signed_map))

    def say_catalog(self, revision: int, *titles: content_pb2.Title) -> None:
        self._say("catalog", content_pb2.WatchTitlesResponse(revision=revision, titles=titles))

    def say_signing_keys(self, keys: tokens_pb2.WatchSigningKeysResponse) -> None:
        self._say("signing_keys", keys)

    def _say(self, kind: str, message: Any) -> None:
        with self._changed:
            self.said[kind] = message
            self._changed.notify_all()

    def watch(self, kind: str, revision: int) -> Iterator[Any]:
        self.asked.append((kind, revision))
        last = None
        while (said := self._after(kind, last)) is not None:
            yield said
            last = said

    def _after(self, kind: str, last: Any) -> Any:
        """What is said next; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: not self._running or self.said[kind] is not last)
            return self.said[kind] if self._running else None


def _services(script: ScriptedControlPlane) -> list[grpc.GenericRpcHandler]:
    def watch(kind: str, request: Any, response: Any) -> Any:
        return grpc.unary_stream_rpc_method_handler(
            lambda message, _: script.watch(kind, message.revision),
            request_deserializer=request.FromString,
            response_serializer=response.SerializeToString,
        )

    titles = watch("catalog", content_pb2.WatchTitlesRequest, content_pb2.WatchTitlesResponse)
    maps = watch("map", steering_pb2.WatchMapRequest, steering_pb2.WatchMapResponse)
    keys = watch(
        "signing_keys", tokens_pb2.WatchSigningKeysRequest, tokens_pb2.WatchSigningKeysResponse
    )
    return [
        grpc.method_handlers_generic_handler(
            "sluice.tokens.v1.TokenKeyService", {"WatchSigningKeys": keys}
        ),
        grpc.method_handlers_generic_handler(
            "sluice.content.v1.ContentService", {"WatchTitles": titles}
        ),
        grpc.method_handlers_generic_handler(
            "sluice.steering.v1.SteeringService", {"WatchMap": maps}
        ),
    ]


def write_identities(client: Path, server: Path, signing_key: Ed25519PrivateKey) -> None:
    """An authority, a server certificate and the gateway's identity, as files."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's authority")])
    authority = (
        _builder(name, name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    names: dict[Path, x509.GeneralName] = {
        server: x509.DNSName(rpc.SERVER_NAME),
        client: x509.UniformResourceIdentifier("spiffe://sluice/service/gateway"),
    }
    for folder, subject in names.items():
        folder.mkdir(parents=True)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(x509.Name([]), name, key.public_key())
            .add_extension(
                x509.SubjectAlternativeName([subject, x509.IPAddress(ipaddress.ip_address("::1"))]),
                critical=True,
            )
            .sign(authority_key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        (folder / "ca.pem").write_bytes(authority.public_bytes(pem))
        (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
        (folder / "key.pem").write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
    (client / "verification.pem").write_bytes(
        signing_key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
    )
