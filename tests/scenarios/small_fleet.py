"""A real control plane with one site, to which a scenario adds real appliances and impostors."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from scenarios.stack import SCRIPTS, free_port, until

from sluice.content.v1 import content_pb2, content_pb2_grpc
from sluice.fleet.v1 import fleet_pb2, fleet_pb2_grpc
from sluice_runtime import rpc
from sluice_runtime.metrics import parse_exposition


@dataclass
class SmallFleet:
    """One control plane, one site; everything is under `folder`."""

    folder: Path
    listen: str
    enrolment: str
    admin_port: int = 0
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def authority(self) -> Path:
        return self.folder / "control-plane" / "ca.pem"

    def channel(self, identity: Path) -> grpc.Channel:
        return _channel(
            self.listen,
            grpc.ssl_channel_credentials(
                (identity / "ca.pem").read_bytes(),
                (identity / "key.pem").read_bytes(),
                (identity / "cert.pem").read_bytes(),
            ),
        )

    def identity(self, name: str) -> Path:
        return self.folder / "control-plane" / "identities" / name

    def counters(self) -> dict[str, float]:
        """The control plane's."""
        return _counters("127.0.0.1", self.admin_port)

    def add_site(self, site_id: str) -> None:
        """A site more, of the same partner."""
        with self.channel(self.identity("operator")) as channel:
            fleet_pb2_grpc.FleetServiceStub(channel).CreateSite(
                fleet_pb2.CreateSiteRequest(
                    site_id=site_id,
                    site=fleet_pb2.Site(partner="partners/partner"),
                    request_id=str(uuid.uuid4()),
                ),
                timeout=10,
            )

    def add_box(self, appliance_id: str, *, site: str = "site") -> str:
        """Creates an appliance and returns its one-time token."""
        with self.channel(self.identity("operator")) as channel:
            fleet = fleet_pb2_grpc.FleetServiceStub(channel)
            fleet.CreateAppliance(
                fleet_pb2.CreateApplianceRequest(
                    appliance_id=appliance_id,
                    appliance=fleet_pb2.Appliance(site=f"sites/{site}"),
                    request_id=str(uuid.uuid4()),
                ),
                timeout=10,
            )
            return fleet.CreateEnrolmentToken(
                fleet_pb2.CreateEnrolmentTokenRequest(appliance=f"appliances/{appliance_id}"),
                timeout=10,
            ).token

    def health(self, appliance_id: str) -> int:
        with self.channel(self.identity("operator")) as channel:
            fleet = fleet_pb2_grpc.FleetServiceStub(channel)
            name = f"appliances/{appliance_id}"
            answer = fleet.GetAppliance(fleet_pb2.GetApplianceRequest(name=name), timeout=10)
            return answer.appliance.health

    def publish(
        self,
        title_id: str,
        objects: dict[str, bytes],
        *,
        block_digests: Mapping[str, bytes] = MappingProxyType({}),
    ) -> None:
        """Registers a title of which the objects are at `title/v1/name` of the origin."""
        title = content_pb2.Title(
            display_name=title_id,
            version="v1",
            hls_key=f"{title_id}/v1/{next(iter(objects))}",
            dash_key=f"{title_id}/v1/{next(iter(objects))}",
            integrity_key=f"{title_id}/v1/{next(iter(objects))}",
            objects=[
                content_pb2.MediaObject(
                    key=f"{title_id}/v1/{name}",
                    size_bytes=len(body),
                    sha256=hashlib.sha256(body).digest(),
                    content_type="video/mp4",
                    block_digests=block_digests.get(name, b""),
                )
                for name, body in objects.items()
            ],
        )
        title.duration.FromSeconds(10)
        with self.channel(self.identity("publisher")) as channel:
            content_pb2_grpc.ContentServiceStub(channel).CreateTitle(
                content_pb2.CreateTitleRequest(
                    title_id=title_id, title=title, request_id=str(uuid.uuid4())
                ),
                timeout=10,
            )

    def start(self, name: str, *argv: str) -> subprocess.Popen[bytes]:
        """A program of ours in a group of its own, ended with the fleet."""
        return self.run(name, str(SCRIPTS / argv[0]), *argv[1:])

    def run(self, name: str, *argv: str) -> subprocess.Popen[bytes]:
        """The same of any command, which finds the modules of the tests."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                argv, stdout=log, stderr=log, process_group=0, cwd=Path(__file__).parents[1]
            )
        self.processes.append(process)
        return process


@dataclass(frozen=True)
class Box:
    """A real appliance's configuration and how to look at it."""

    home: Path
    address: str
    port: int
    admin_port: int

    def start(self, fleet: SmallFleet) -> subprocess.Popen[bytes]:
        return fleet.start(
            self.home.name, "sluice-appliance", "run", "--config", str(self.home / "config.toml")
        )

    def get(self, key: str) -> bytes | None:
        """What it serves under a key; None for 404 or where nobody listens."""
        try:
            with urllib.request.urlopen(
                f"http://{self.address}:{self.port}/{key}", timeout=5
            ) as answer:
                body: bytes = answer.read()
                return body
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != 404:
                raise
            return None
        except (urllib.error.URLError, ConnectionError):
            return None

    def counters(self) -> dict[str, float]:
        return _counters(self.address, self.admin_port)

    def health(self) -> dict[str, Any]:
        """What `/healthz` says, nothing while there is none."""
        url = f"http://{self.address}:{self.admin_port}/healthz"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return dict(json.load(answer))
        except OSError:
            return {}


def configure_box(
    fleet: SmallFleet, appliance_id: str, address: str, token: str, **settings: str | float
) -> Box:
    home = fleet.folder / appliance_id
    home.mkdir()
    box = Box(home, address, free_port(address), free_port(address))
    known: dict[str, str | float] = {
        "appliance": appliance_id,
        "store": str(home / "store"),
        "capacity_bytes": 1 << 30,
        "listen": f"{address}:{box.port}",
        "admin_listen": f"{address}:{box.admin_port}",
        "control_plane": fleet.listen,
        "enrolment": fleet.enrolment,
        "certificate_authority": str(fleet.authority),
        "identity": str(home / "identity"),
        "enrolment_token": token,
        **settings,
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in known.items()]
    (home / "config.toml").write_text("\n".join(lines) + "\n")
    return box


def enrol_impostor(fleet: SmallFleet, token: str, identity: Path) -> None:
    """Does what an appliance's first start does, so that a test can speak as one."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    authority = fleet.authority.read_bytes()
    with _channel(fleet.enrolment, grpc.ssl_channel_credentials(authority)) as channel:
        answer = fleet_pb2_grpc.EnrolmentServiceStub(channel).Enrol(
            fleet_pb2.EnrolRequest(token=token, certificate_signing_request=request), timeout=10
        )
    identity.mkdir()
    (identity / "ca.pem").write_bytes(answer.certificate_authority)
    (identity / "cert.pem").write_bytes(answer.certificate)
    (identity / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


@contextlib.contextmanager
def small_fleet(folder: Path, *, origin_url: str, tokens: str = "off") -> Iterator[SmallFleet]:
    """Starts the control plane with one site; ends all that was started, by its process group."""
    state = folder / "control-plane"
    state.mkdir()
    admin = free_port()
    fleet = SmallFleet(folder, f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}", admin)
    (state / "config.toml").write_text(
        f'state = "{state}"\nlisten = "{fleet.listen}"\nenrolment_listen = "{fleet.enrolment}"\n'
        f'admin_listen = "127.0.0.1:{admin}"\nzone = "v.sluice.test"\norigin_url = "{origin_url}"\n'
        f'tokens = "{tokens}"\n'
    )
    try:
        fleet.start(
            "control-plane", "sluice-control-plane", "run", "--config", str(state / "config.toml")
        )
        until("the control plane is healthy", lambda: _healthy(admin), within_s=30)
        _create_site(fleet)
        yield fleet
    finally:
        for process in fleet.processes:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _create_site(fleet: SmallFleet) -> None:
    with fleet.channel(fleet.identity("operator")) as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        stub.CreatePartner(
            fleet_pb2.CreatePartnerRequest(partner_id="partner", request_id=str(uuid.uuid4())),
            timeout=10,
        )
        stub.CreateSite(
            fleet_pb2.CreateSiteRequest(
                site_id="site",
                site=fleet_pb2.Site(partner="partners/partner"),
                request_id=str(uuid.uuid4()),
            ),
            timeout=10,
        )


def _counters(host: str, admin: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://{host}:{admin}/metrics", timeout=5) as page:
        return dict(parse_exposition(page.read().decode()))


def _healthy(admin: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _channel(target: str, credentials: grpc.ChannelCredentials) -> grpc.Channel:
    return grpc.secure_channel(
        target,
        credentials,
        options=[
            ("grpc.ssl_target_name_override", rpc.SERVER_NAME),
            ("grpc.use_local_subchannel_pool", 1),
        ],
    )
