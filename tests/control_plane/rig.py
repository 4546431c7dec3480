"""A real control plane on loopback, over a real SQLite file and the real authority, and its callers."""

import asyncio
import hashlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sluice.content.v1 import content_pb2, content_pb2_grpc
from sluice.fill.v1 import fill_pb2, fill_pb2_grpc
from sluice.fleet.v1 import fleet_pb2, fleet_pb2_grpc
from sluice.routes.v1 import routes_pb2, routes_pb2_grpc
from sluice.steering.v1 import map_pb2, steering_pb2, steering_pb2_grpc
from sluice_control_plane.config import ControlPlaneSettings
from sluice_control_plane.identity.roles import Role
from sluice_control_plane.identity.state_folder import issue, prepare
from sluice_control_plane.reconciler import Clocks
from sluice_control_plane.serving import Running, serve
from sluice_runtime import rpc
from sluice_runtime.signatures import Verifier, load_verification_key

Check = Callable[[], Awaitable[bool]]
WAIT_S = 20.0
CLOCKS = Clocks(wall=time.time, steady=time.monotonic)


@dataclass
class Box:
    """An appliance that speaks to the control plane and holds nothing."""

    appliance_id: str
    channel: grpc.aio.Channel
    address: str
    incarnation: str = "first"
    sequence: int = 0

    async def beat(self, *, serving: bool = True, **changes: Any) -> bool:
        """One heartbeat; returns whether it is drained."""
        self.sequence += 1
        request = fleet_pb2.ReportHeartbeatRequest(
            appliance=f"appliances/{self.appliance_id}",
            incarnation=self.incarnation,
            sequence=self.sequence,
            serving_address=fleet_pb2.ServingAddress(ipv4=self.address, port=8081),
            serving=serving,
            software_version="0.1.0",
        )
        request.MergeFrom(fleet_pb2.ReportHeartbeatRequest(**changes))
        answer = await fleet_pb2_grpc.ApplianceServiceStub(self.channel).ReportHeartbeat(request)
        return answer.drained

    async def report(self, *complete: str, **fields: Any) -> None:
        await fill_pb2_grpc.FillServiceStub(self.channel).ReportFill(
            fill_pb2.ReportFillRequest(
                appliance=f"appliances/{self.appliance_id}",
                complete_titles=sorted(complete),
                incarnation=self.incarnation,
                **fields,
            )
        )

    async def manifest(self, revision: int = 0) -> fill_pb2.FillManifest:
        """The next manifest newer than `revision`."""
        call = fill_pb2_grpc.FillServiceStub(self.channel).WatchManifest(
            fill_pb2.WatchManifestRequest(
                appliance=f"appliances/{self.appliance_id}", revision=revision
            )
        )
        response = await first(call)
        return fill_pb2.FillManifest.FromString(response.manifest.payload)

    async def sources(self, title: str, version: str = "v1") -> list[tuple[str, int, str]]:
        answer = await self.list_sources(title, version)
        return [(each.source_id, each.kind, each.base_url) for each in answer.sources]

    async def list_sources(self, title: str, version: str = "v1") -> fill_pb2.ListSourcesResponse:
        return await fill_pb2_grpc.FillServiceStub(self.channel).ListSources(
            fill_pb2.ListSourcesRequest(
                appliance=f"appliances/{self.appliance_id}",
                title=f"titles/{title}",
                version=version,
            )
        )

    async def look_up(self, key: str) -> fill_pb2.LookUpObjectResponse:
        return await fill_pb2_grpc.FillServiceStub(self.channel).LookUpObject(
            fill_pb2.LookUpObjectRequest(appliance=f"appliances/{self.appliance_id}", key=key)
        )


@dataclass
class Rig:
    """A running control plane and channels to it."""

    running: Running
    state: Path
    _channels: list[grpc.aio.Channel] = field(default_factory=list)

    def channel(self, role: Role, name: str = "") -> grpc.aio.Channel:
        """A channel with a certificate of that role."""
        name = name or role.value
        out = self.state / "test-identities" / f"{role}-{name}"
        issue(prepare(self.state, now=time.time()), role, name, out, now=time.time())
        return self._keep(rpc.open_channel(self.running.listen, rpc.TlsFiles.in_folder(out)))

    def anonymous(self) -> grpc.aio.Channel:
        authority = (self.state / "ca.pem").read_bytes()
        return self._keep(rpc.open_anonymous_channel(self.running.enrolment_listen, authority))

    def _keep(self, channel: grpc.aio.Channel) -> grpc.aio.Channel:
        self._channels.append(channel)
        return channel

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()

    @property
    def verifier(self) -> Verifier:
        return Verifier([load_verification_key((self.state / "verification.pem").read_bytes())])

    async def found_fleet(self, *, enrolled: bool = True) -> dict[str, Box]:
        """Partners and sites a and b with two appliances each; site b announces 10.2.0.0/16."""
        operator = self.channel(Role.OPERATOR)
        fleet = fleet_pb2_grpc.FleetServiceStub(operator)
        for letter in "ab":
            await fleet.CreatePartner(
                fleet_pb2.CreatePartnerRequest(partner_id=f"partner-{letter}")
            )
            site = fleet_pb2.Site(partner=f"partners/partner-{letter}")
            await fleet.CreateSite(fleet_pb2.CreateSiteRequest(site_id=f"site-{letter}", site=site))
            await routes_pb2_grpc.RoutesServiceStub(operator).ReplaceRoutes(
                routes_pb2.ReplaceRoutesRequest(
                    site=f"sites/site-{letter}",
                    prefixes=["10.1.0.0/16" if letter == "a" else "10.2.0.0/16"],
                )
            )
        boxes = {}
        for number, appliance_id in enumerate(("a-1", "a-2", "b-1", "b-2")):
            appliance = fleet_pb2.Appliance(site=f"sites/site-{appliance_id[0]}")
            await fleet.CreateAppliance(
                fleet_pb2.CreateApplianceRequest(appliance_id=appliance_id, appliance=appliance)
            )
            if enrolled:
                await self.enrol(appliance_id)
            channel = self.channel(Role.APPLIANCE, appliance_id)
            boxes[appliance_id] = Box(appliance_id, channel, f"127.0.10.{number + 1}")
        return boxes

    async def token(self, appliance_id: str) -> str:
        operator = fleet_pb2_grpc.FleetServiceStub(self.channel(Role.OPERATOR))
        answer = await operator.CreateEnrolmentToken(
            fleet_pb2.CreateEnrolmentTokenRequest(appliance=f"appliances/{appliance_id}")
        )
        return answer.token

    async def enrol(self, appliance_id: str) -> fleet_pb2.EnrolResponse:
        enrolment = fleet_pb2_grpc.EnrolmentServiceStub(self.anonymous())
        return await enrolment.Enrol(
            fleet_pb2.EnrolRequest(
                token=await self.token(appliance_id), certificate_signing_request=signing_request()
            )
        )

    async def create_title(
        self, title_id: str = "film", *, blocks: Mapping[str, bytes] | None = None, **changes: Any
    ) -> content_pb2.Title:
        """`blocks` has the digests of blocks by file name."""
        title = title_of(title_id)
        for item in title.objects:
            item.block_digests = (blocks or {}).get(item.key.rpartition("/")[2], b"")
        publisher = content_pb2_grpc.ContentServiceStub(self.channel(Role.PUBLISHER))
        answer = await publisher.CreateTitle(
            content_pb2.CreateTitleRequest(title_id=title_id, title=title, **changes)
        )
        return answer.title

    async def known(self, *title_ids: str) -> None:
        """Waits until the titles are in the control plane's memory."""

        async def there() -> bool:
            return self.running.reconciler.truth.catalog.keys() >= set(title_ids)

        await eventually(there)

    async def title(self, title_id: str = "film") -> content_pb2.Title:
        stub = content_pb2_grpc.ContentServiceStub(self.channel(Role.OPERATOR))
        answer = await stub.GetTitle(content_pb2.GetTitleRequest(name=f"titles/{title_id}"))
        return answer.title

    async def appliance(self, appliance_id: str) -> fleet_pb2.Appliance:
        stub = fleet_pb2_grpc.FleetServiceStub(self.channel(Role.OPERATOR))
        answer = await stub.GetAppliance(
            fleet_pb2.GetApplianceRequest(name=f"appliances/{appliance_id}")
        )
        return answer.appliance

    async def explain(self, address: str, title: str = "") -> steering_pb2.ExplainClientResponse:
        stub = steering_pb2_grpc.SteeringServiceStub(self.channel(Role.OPERATOR))
        return await stub.ExplainClient(
            steering_pb2.ExplainClientRequest(client_address=address, title=title)
        )

    def steering_map(self) -> map_pb2.SteeringMap:
        return self.running.publisher.latest_map

    def named(self) -> list[str]:
        """The appliances that the map may name."""
        return [
            each.appliance.removeprefix("appliances/") for each in self.steering_map().appliances
        ]

    async def all_up(self, boxes: dict[str, Box]) -> None:
        """Heartbeats until the map names all."""

        async def beat() -> bool:
            for box in boxes.values():
                await box.beat()
            return self.named() == sorted(boxes)

        await eventually(beat)


@asynccontextmanager
async def control_plane(state: Path, **settings: Any) -> AsyncIterator[Rig]:
    """Runs while the block does; another block over the same folder is a restart."""
    defaults: dict[str, Any] = {
        "listen": "127.0.0.1:0",
        "enrolment_listen": "127.0.0.1:0",
        "admin_listen": f"127.0.0.1:{free_port()}",
        "heartbeat_interval_s": 1.0,
        "heartbeat_deadline_s": 30.0,
    }
    configured = ControlPlaneSettings(state=state, **{**defaults, **settings})
    async with serve(configured, CLOCKS) as running:
        rig = Rig(running, state)
        try:
            yield rig
        finally:
            await rig.close()


def bare(channel: grpc.aio.Channel) -> Any:
    """A channel for bytes that no stub would send."""
    return channel


async def eventually(check: Check) -> None:
    """Polls an async check until it is true."""
    deadline = time.monotonic() + WAIT_S
    while not await check():
        assert time.monotonic() < deadline, f"not within {WAIT_S} s: {check}"
        await asyncio.sleep(0.02)


async def first(call: Any) -> Any:
    """The first message of a stream, which is then ended."""
    async with asyncio.timeout(WAIT_S):
        message = await call.read()
    assert message is not grpc.aio.EOF
    call.cancel()
    return message


@asynccontextmanager
async def refused(code: grpc.StatusCode, reason: str) -> AsyncIterator[None]:
    """The block's call fails with that code and ErrorInfo reason."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        yield
    assert (caught.value.code(), rpc.error_reason(caught.value)) == (code, reason), caught.value


def title_of(title_id: str, version: str = "v1") -> content_pb2.Title:
    """A title of two files, as an encoder registers it."""
    prefix = f"{title_id}/{version}"
    names = ("master.m3u8", "h264-720p.mp4", "integrity.json")
    return content_pb2.Title(
        display_name=title_id.title(),
        version=version,
        hls_key=f"{prefix}/master.m3u8",
        integrity_key=f"{prefix}/integrity.json",
        renditions=[content_pb2.Rendition(rendition_id="h264-720p", key=f"{prefix}/h264-720p.mp4")],
        objects=[
            content_pb2.MediaObject(
                key=f"{prefix}/{name}",
                size_bytes=100,
                sha256=hashlib.sha256(name.encode()).digest(),
                content_type="video/mp4",
            )
            for name in names
        ],
    )


def signing_request(key: Any = None) -> bytes:
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "whoever I like")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
