"""A control plane that does what a test says: real gRPC, real TLS, the generated servicers."""

import asyncio
import datetime
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio
from appliance.fill.signing import KEY
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from sluice.fill.v1 import fill_pb2, fill_pb2_grpc
from sluice.fleet.v1 import fleet_pb2, fleet_pb2_grpc
from sluice_runtime import rpc

_DAY = datetime.timedelta(days=1)


class Authority:
    """A CA of the test's own."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the test's authority")])
        self.certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = self.certificate.public_bytes(Encoding.PEM)

    def issue(self, public_key: ec.EllipticCurvePublicKey, name: x509.GeneralName) -> bytes:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "subject")])
        return (
            self._builder(subject, public_key)
            .add_extension(x509.SubjectAlternativeName([name]), critical=False)
            .sign(self._key, hashes.SHA256())
            .public_bytes(Encoding.PEM)
        )

    def server_files(self, folder: Path) -> rpc.TlsFiles:
        key = ec.generate_private_key(ec.SECP256R1())
        folder.mkdir(parents=True, exist_ok=True)
        files = rpc.TlsFiles.in_folder(folder)
        files.certificate_authority.write_bytes(self.pem)
        files.certificate.write_bytes(self.issue(key.public_key(), x509.DNSName(rpc.SERVER_NAME)))
        files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return files

    def _builder(
        self, subject: x509.Name, public_key: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + _DAY)
        )


@dataclass
class Script:
    """What the control plane says, and what it heard."""

    authority: Authority
    token: str = "the-token"
    enrols_as: str = "appliances/a-1"
    interval_s: float = 0.2
    sources: Sequence[fill_pb2.FillSource] = ()
    # What is known of single objects, by key.
    objects: dict[str, fill_pb2.LookUpObjectResponse] = field(default_factory=dict)
    manifests: list[fill_pb2.SignedManifest] = field(default_factory=list)
    heartbeats: list[fleet_pb2.ReportHeartbeatRequest] = field(default_factory=list)
    reports: list[fill_pb2.ReportFillRequest] = field(default_factory=list)
    watched_from: list[int] = field(default_factory=list)
    peers: set[str | None] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def publish(self, manifest: fill_pb2.SignedManifest) -> None:
        self.manifests.append(manifest)
        self.changed.set()

    def last_report(self) -> fill_pb2.ReportFillRequest:
        return self.reports[-1] if self.reports else fill_pb2.ReportFillRequest()


class _Enrolment(fleet_pb2_grpc.EnrolmentServiceServicer):
    def __init__(self, script: Script) -> None:
        self._script = script

    async def Enrol(
        self,
        request: fleet_pb2.EnrolRequest,
        context: grpc.aio.ServicerContext[fleet_pb2.EnrolRequest, fleet_pb2.EnrolResponse],
    ) -> fleet_pb2.EnrolResponse:
        if request.token != self._script.token:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is not known")
        signing_request = x509.load_pem_x509_csr(request.certificate_signing_request)
        assert signing_request.is_signature_valid
        public_key = signing_request.public_key()
        assert isinstance(public_key, ec.EllipticCurvePublicKey)
        uri = x509.UniformResourceIdentifier("spiffe://sluice/appliance/a-1")
        return fleet_pb2.EnrolResponse(
            appliance=self._script.enrols_as,
            certificate=self._script.authority.issue(public_key, uri),
            certificate_authority=self._script.authority.pem,
            verification_keys=[
                KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            ],
        )


class _Appliance(fleet_pb2_grpc.ApplianceServiceServicer):
    def __init__(self, script: Script) -> None:
        self._script = script

    async def ReportHeartbeat(
        self,
        request: fleet_pb2.ReportHeartbeatRequest,
        context: grpc.aio.ServicerContext[
            fleet_pb2.ReportHeartbeatRequest, fleet_pb2.ReportHeartbeatResponse
        ],
    ) -> fleet_pb2.ReportHeartbeatResponse:
        self._script.heartbeats.append(request)
        self._script.peers.add(rpc.peer_uri(context))
        response = fleet_pb2.ReportHeartbeatResponse()
        response.interval.FromMilliseconds(round(self._script.interval_s * 1000))
        return response


class _Fill(fill_pb2_grpc.FillServiceServicer):
    def __init__(self, script: Script) -> None:
        self._script = script

    async def WatchManifest(
        self,
        request: fill_pb2.WatchManifestRequest,
        context: grpc.aio.ServicerContext[
            fill_pb2.WatchManifestRequest, fill_pb2.WatchManifestResponse
        ],
    ) -> AsyncIterator[fill_pb2.WatchManifestResponse]:
        self._script.watched_from.append(request.revision)
        sent = 0
        while True:
            self._script.changed.clear()
            for manifest in self._script.manifests[sent:]:
                yield fill_pb2.WatchManifestResponse(manifest=manifest)
            sent = len(self._script.manifests)
            await self._script.changed.wait()

    async def ListSources(
        self,
        request: fill_pb2.ListSourcesRequest,
        context: grpc.aio.ServicerContext[
            fill_pb2.ListSourcesRequest, fill_pb2.ListSourcesResponse
        ],
    ) -> fill_pb2.ListSourcesResponse:
        return fill_pb2.ListSourcesResponse(sources=self._script.sources)

    async def LookUpObject(
        self,
        request: fill_pb2.LookUpObjectRequest,
        context: grpc.aio.ServicerContext[
            fill_pb2.LookUpObjectRequest, fill_pb2.LookUpObjectResponse
        ],
    ) -> fill_pb2.LookUpObjectResponse:
        found = self._script.objects.get(request.key)
        if found is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no title has an object {request.key}")
        return found

    async def ReportFill(
        self,
        request: fill_pb2.ReportFillRequest,
        context: grpc.aio.ServicerContext[fill_pb2.ReportFillRequest, fill_pb2.ReportFillResponse],
    ) -> fill_pb2.ReportFillResponse:
        self._script.reports.append(request)
        return fill_pb2.ReportFillResponse()


@asynccontextmanager
async def serving(
    script: Script, folder: Path, *, port: int = 0, enrolment_port: int = 0
) -> AsyncIterator[tuple[int, int]]:
    """Serves on loopback while the block runs: the ports of both listeners."""
    files = script.authority.server_files(folder)
    mutual = grpc.aio.server(options=rpc.server_options())
    fleet_pb2_grpc.add_ApplianceServiceServicer_to_server(_Appliance(script), mutual)
    fill_pb2_grpc.add_FillServiceServicer_to_server(_Fill(script), mutual)
    port = mutual.add_secure_port(
        f"127.0.0.1:{port}", rpc.server_credentials(files, want_client_certificate=True)
    )
    open_to_all = grpc.aio.server(options=rpc.server_options())
    fleet_pb2_grpc.add_EnrolmentServiceServicer_to_server(_Enrolment(script), open_to_all)
    enrolment_port = open_to_all.add_secure_port(
        f"127.0.0.1:{enrolment_port}",
        rpc.server_credentials(files, want_client_certificate=False),
    )
    await mutual.start()
    await open_to_all.start()
    try:
        yield port, enrolment_port
    finally:
        await mutual.stop(None)
        await open_to_all.stop(None)
