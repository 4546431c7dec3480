"""A scripted control plane behind real mutual TLS, and the `sluice` command as a process beside it."""

import asyncio
import contextlib
import datetime
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from google.protobuf.timestamp_pb2 import Timestamp

from sluice.content.v1 import content_pb2, content_pb2_grpc
from sluice.fill.v1 import fill_pb2
from sluice.fleet.v1 import fleet_pb2, fleet_pb2_grpc
from sluice.steering.v1 import steering_pb2, steering_pb2_grpc
from sluice.tokens.v1 import tokens_pb2, tokens_pb2_grpc
from sluice_cli.deployment import Deployment, write_deployment
from sluice_runtime import rpc

SLUICE = str(Path(sys.executable).parent / "sluice")


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    output: str
    errors: str


async def sluice(*arguments: str, state: Path, timeout_s: float = 30.0) -> Done:
    """Runs the command as people do."""
    process = await asyncio.create_subprocess_exec(
        SLUICE,
        *arguments,
        env={**os.environ, "SLUICE_STATE": str(state)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(timeout_s):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Done(process.returncode, output.decode(), errors.decode())


class Fleet(fleet_pb2_grpc.FleetServiceServicer):
    """Appliances that a test writes."""

    def __init__(self, boxes: dict[str, fleet_pb2.Appliance]) -> None:
        self.boxes = boxes
        # Objects held grow by one with every question, up to all.
        self.fills = False
        self.policies: dict[str, fill_pb2.FillPolicy] = {}

    async def ListAppliances(self, request: Any, context: Any) -> fleet_pb2.ListAppliancesResponse:
        names = sorted(name for name, box in self.boxes.items() if request.site in ("", box.site))
        start = int(request.page_token or 0)
        page = names[start : start + 2]
        for name in page if self.fills else ():
            fill = self.boxes[name].fill
            fill.held_bytes = min(fill.wanted_bytes, fill.held_bytes + 100)
        more = str(start + 2) if start + 2 < len(names) else ""
        return fleet_pb2.ListAppliancesResponse(
            appliances=[self.boxes[name] for name in page], next_page_token=more
        )

    async def GetAppliance(self, request: Any, context: Any) -> fleet_pb2.GetApplianceResponse:
        return fleet_pb2.GetApplianceResponse(appliance=await self._box(request.name, context))

    async def DrainAppliance(self, request: Any, context: Any) -> fleet_pb2.DrainApplianceResponse:
        box = await self._box(request.name, context)
        box.drained = True
        return fleet_pb2.DrainApplianceResponse(appliance=box)

    async def UndrainAppliance(
        self, request: Any, context: Any
    ) -> fleet_pb2.UndrainApplianceResponse:
        box = await self._box(request.name, context)
        box.drained = False
        return fleet_pb2.UndrainApplianceResponse(appliance=box)

    async def GetFillPolicy(self, request: Any, context: Any) -> fleet_pb2.GetFillPolicyResponse:
        return fleet_pb2.GetFillPolicyResponse(policy=self.policies.get(request.site))

    async def SetFillPolicy(self, request: Any, context: Any) -> fleet_pb2.SetFillPolicyResponse:
        self.policies[request.site] = request.policy
        return fleet_pb2.SetFillPolicyResponse(policy=request.policy)

    async def _box(self, name: str, context: Any) -> fleet_pb2.Appliance:
        if name not in self.boxes:
            status = rpc.RpcStatus(grpc.StatusCode.NOT_FOUND, "APPLIANCE_NOT_FOUND")
            await rpc.abort(context, status, f"{name} is not in the fleet")
        return self.boxes[name]


class Content(content_pb2_grpc.ContentServiceServicer):
    """Titles that a test writes."""

    def __init__(self) -> None:
        self.titles: dict[str, content_pb2.Title] = {}
        self.live_after_questions = 0

    async def GetTitle(self, request: Any, context: Any) -> content_pb2.GetTitleResponse:
        title = self.titles[request.name]
        if self.live_after_questions == 0:
            title.state = content_pb2.TITLE_STATE_LIVE
        self.live_after_questions -= 1
        return content_pb2.GetTitleResponse(title=title)

    async def ListTitles(self, request: Any, context: Any) -> content_pb2.ListTitlesResponse:
        return content_pb2.ListTitlesResponse(titles=self.titles.values())

    async def SetTitlePriority(
        self, request: Any, context: Any
    ) -> content_pb2.SetTitlePriorityResponse:
        title = self.titles[request.name]
        title.priority = request.priority
        return content_pb2.SetTitlePriorityResponse(title=title)

    async def DeleteTitle(self, request: Any, context: Any) -> content_pb2.DeleteTitleResponse:
        if self.titles.pop(request.name, None) is None:
            status = rpc.RpcStatus(grpc.StatusCode.NOT_FOUND, "TITLE_NOT_FOUND")
            await rpc.abort(context, status, f"there is no {request.name}")
        return content_pb2.DeleteTitleResponse()


class Steering(steering_pb2_grpc.SteeringServiceServicer):
    """One answer for everybody."""

    def __init__(self) -> None:
        self.asked: list[steering_pb2.ExplainClientRequest] = []

    async def ExplainClient(self, request: Any, context: Any) -> steering_pb2.ExplainClientResponse:
        self.asked.append(request)
        box = steering_pb2.ExplainedAppliance(
            appliance="appliances/a-1", eligible=True, reason="healthy and holds the bucket"
        )
        site = steering_pb2.ExplainedSite(
            site="sites/site-a", reason="announces 10.1.0.0/16", appliances=[box]
        )
        return steering_pb2.ExplainClientResponse(
            map_revision=9,
            class_index=1,
            matching_prefix="10.1.0.0/16",
            scope=16,
            sites=[site],
            bucket=173 if request.title else None,
            answer=["appliances/a-1"],
            reasons=["10.1.2.3 is in 10.1.0.0/16"],
        )


class TokenKeys(tokens_pb2_grpc.TokenKeyServiceServicer):
    """One key, and another after each rotation."""

    def __init__(self) -> None:
        self.told = tokens_pb2.TokenKeySet(
            revision=1, policy=tokens_pb2.TOKEN_POLICY_REQUIRED, issuer="v.sluice.test"
        )
        self.told.keys.add(key_id="key-1", sign_time=Timestamp(seconds=1_750_000_000))
        self.revoked = False

    async def ListTokenKeys(self, request: Any, context: Any) -> tokens_pb2.ListTokenKeysResponse:
        return tokens_pb2.ListTokenKeysResponse(keys=self.told)

    async def RotateTokenKeys(
        self, request: Any, context: Any
    ) -> tokens_pb2.RotateTokenKeysResponse:
        self.revoked = request.revoke
        self.told.revision += 1
        self.told.keys[-1].expire_time.seconds = 1_750_900_000
        self.told.keys.add(key_id="key-2", sign_time=Timestamp(seconds=1_750_000_060))
        return tokens_pb2.RotateTokenKeysResponse(keys=self.told)


def appliance(name: str, site: str) -> fleet_pb2.Appliance:
    return fleet_pb2.Appliance(
        name=f"appliances/{name}",
        site=f"sites/{site}",
        weight=100,
        health=fleet_pb2.APPLIANCE_HEALTH_UP,
        health_reason="heard 1 s ago",
        serving_address=fleet_pb2.ServingAddress(ipv4="127.0.10.1", port=8081),
        fill=fleet_pb2.FillSummary(wanted_objects=4, held_objects=4, wanted_bytes=400),
    )


class Desk:
    """A control plane, and a state folder whose `up.json` leads to it."""

    def __init__(self, state: Path) -> None:
        self.state = state
        boxes = (appliance("a-1", "site-a"), appliance("a-2", "site-a"), appliance("b-1", "site-b"))
        # Abstract to mypy alone: what a script does not answer is UNIMPLEMENTED on the wire.
        self.fleet = Fleet({box.name: box for box in boxes})  # type: ignore[abstract]
        self.content = Content()  # type: ignore[abstract]
        self.steering = Steering()  # type: ignore[abstract]
        self.token_keys = TokenKeys()  # type: ignore[abstract]
        self.server: grpc.aio.Server | None = None
        self.deployment: Deployment

    async def sluice(self, *arguments: str) -> Done:
        return await sluice(*arguments, state=self.state)

    async def stop(self) -> None:
        if self.server is not None:
            await self.server.stop(None)
            self.server = None


@contextlib.asynccontextmanager
async def desk(state: Path) -> AsyncIterator[Desk]:
    made = Desk(state)
    authority = _Authority()
    authority.issue(state / "server", dns=rpc.SERVER_NAME)
    authority.issue(state / "operator", uri="spiffe://sluice/operator/desk")
    server = grpc.aio.server(options=rpc.server_options())
    fleet_pb2_grpc.add_FleetServiceServicer_to_server(made.fleet, server)
    content_pb2_grpc.add_ContentServiceServicer_to_server(made.content, server)
    steering_pb2_grpc.add_SteeringServiceServicer_to_server(made.steering, server)
    tokens_pb2_grpc.add_TokenKeyServiceServicer_to_server(made.token_keys, server)
    credentials = rpc.server_credentials(
        rpc.TlsFiles.in_folder(state / "server"), want_client_certificate=True
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    made.server = server
    made.deployment = deployment_in(state, control_plane=f"127.0.0.1:{port}")
    write_deployment(state, made.deployment)
    try:
        yield made
    finally:
        await made.stop()


def deployment_in(state: Path, *, control_plane: str) -> Deployment:
    return Deployment(
        gateway="http://127.0.0.1:1",
        dns="127.0.0.1:1",
        zone="v.sluice.test",
        control_plane=control_plane,
        origin="http://127.0.0.1:1/",
        origin_root=str(state / "origin"),
        identity_operator=str(state / "operator"),
        identity_publisher=str(state / "publisher"),
        pid=os.getpid(),
        processes=(),
    )


class _Authority:
    """Certificates that live for an hour."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        basic = x509.BasicConstraints(ca=True, path_length=None)
        self._certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(basic, critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def issue(self, folder: Path, *, dns: str = "", uri: str = "") -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(dns)] if dns else []
        if uri:
            names.append(x509.UniformResourceIdentifier(uri))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, dns or "desk")])
        certificate = (
            self._builder(subject, key.public_key())
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        folder.mkdir(parents=True)
        (folder / "ca.pem").write_bytes(self._certificate.public_bytes(Encoding.PEM))
        (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        (folder / "key.pem").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> Any:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
        )
