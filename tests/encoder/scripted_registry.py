"""A ContentService over real mutual TLS that answers as a test says."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sluice.content.v1 import content_pb2
from sluice_runtime import rpc


@dataclass
class Registry:
    """Fails the first calls with `failures`, then takes titles."""

    failures: list[grpc.StatusCode] = field(default_factory=list)
    there: content_pb2.Title | None = None
    seen: list[content_pb2.CreateTitleRequest] = field(default_factory=list)
    callers: list[str | None] = field(default_factory=list)

    async def CreateTitle(
        self, request: content_pb2.CreateTitleRequest, context: Any
    ) -> content_pb2.CreateTitleResponse:
        self.seen.append(request)
        self.callers.append(rpc.peer_uri(context))
        if self.failures:
            await context.abort(self.failures.pop(0), "as the test says")
        return content_pb2.CreateTitleResponse(title=request.title)

    async def GetTitle(
        self, request: content_pb2.GetTitleRequest, context: Any
    ) -> content_pb2.GetTitleResponse:
        return content_pb2.GetTitleResponse(title=self.there)


@asynccontextmanager
async def serving(registry: Registry, identities: Path) -> AsyncIterator[str]:
    """Serves while the block runs; `identities/publisher` is written for the caller."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("authority", authority_key, None, None)
    for folder, name, san in (
        ("server", "server", x509.DNSName(rpc.SERVER_NAME)),
        (
            "publisher",
            "publisher",
            x509.UniformResourceIdentifier("spiffe://sluice/publisher/main"),
        ),
    ):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(name, key, (authority, authority_key), san)
        _write(identities / folder, authority, certificate, key)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_handlers(registry),))
    tls = rpc.TlsFiles.in_folder(identities / "server")
    port = server.add_secure_port(
        "127.0.0.1:0", rpc.server_credentials(tls, want_client_certificate=True)
    )
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


def _handlers(registry: Registry) -> grpc.GenericRpcHandler:
    """The two methods that publishers call; any other is UNIMPLEMENTED."""
    return grpc.method_handlers_generic_handler(
        "sluice.content.v1.ContentService",
        {
            "CreateTitle": grpc.unary_unary_rpc_method_handler(
                registry.CreateTitle,
                content_pb2.CreateTitleRequest.FromString,
                content_pb2.CreateTitleResponse.SerializeToString,
            ),
            "GetTitle": grpc.unary_unary_rpc_method_handler(
                registry.GetTitle,
                content_pb2.GetTitleRequest.FromString,
                content_pb2.GetTitleResponse.SerializeToString,
            ),
        },
    )


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None,
    san: x509.GeneralName | None,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if san is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([san]), critical=False)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256())


def _write(
    folder: Path,
    authority: x509.Certificate,
    certificate: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
) -> None:
    folder.mkdir(parents=True)
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(authority.public_bytes(pem))
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
