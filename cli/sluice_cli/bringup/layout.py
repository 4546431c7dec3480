"""Decides what `sluice up` runs: every process, its configuration, its addresses and its files. Pure.

The fleet is two sites of two appliances. Each appliance has a loopback address of its own, so that
one machine shows what a network would: `127.0.10.x` is site A, `127.0.20.x` is site B.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

ZONE = "v.sluice.test"


@dataclass(frozen=True, slots=True)
class Ports:
    """Every port that `sluice up` listens on; each is an option of the same name."""

    gateway: int = 8080
    dns: int = 5353
    control_plane: int = 8443
    enrolment: int = 8444
    origin: int = 8090
    data: int = 8081
    appliance_admin: int = 9081
    control_plane_admin: int = 9443
    dns_admin: int = 9053
    origin_admin: int = 9090


@dataclass(frozen=True, slots=True)
class Box:
    """One appliance of the embedded fleet."""

    appliance_id: str
    site_id: str
    address: str


@dataclass(frozen=True, slots=True)
class SitePlan:
    """One site of the embedded fleet and what its partner announces there."""

    site_id: str
    partner_id: str
    display_name: str
    prefixes: tuple[str, ...]
    boxes: tuple[Box, ...]


FLEET: tuple[SitePlan, ...] = (
    SitePlan(
        "site-a",
        "partner-a",
        "Site A",
        ("10.1.0.0/16", "2001:db8:a::/48"),
        (Box("a-1", "site-a", "127.0.10.1"), Box("a-2", "site-a", "127.0.10.2")),
    ),
    SitePlan(
        "site-b",
        "partner-b",
        "Site B",
        ("10.2.0.0/16", "2001:db8:b::/48"),
        (Box("b-1", "site-b", "127.0.20.1"), Box("b-2", "site-b", "127.0.20.2")),
    ),
)


@dataclass(frozen=True, slots=True)
class Listener:
    """An address that must be free before anything starts."""

    host: str
    port: int
    option: str
    # "tcp", or "udp" for DNS beside its TCP.
    kind: str = "tcp"


@dataclass(frozen=True, slots=True)
class Program:
    """One process: its command line, the file it is configured by, and how its health is asked."""

    name: str
    argv: tuple[str, ...]
    config_path: PurePath | None
    config_text: str
    admin_url: str


@dataclass(frozen=True, slots=True)
class StatePaths:
    """Where things are under `--state DIR`."""

    root: PurePath

    @property
    def control_plane(self) -> PurePath:
        return self.root / "control-plane"

    @property
    def origin(self) -> PurePath:
        return self.root / "origin"

    @property
    def work(self) -> PurePath:
        return self.root / "encoder"

    @property
    def logs(self) -> PurePath:
        return self.root / "logs"

    def identity(self, name: str) -> PurePath:
        return self.control_plane / "identities" / name

    def appliance(self, appliance_id: str) -> PurePath:
        return self.root / "appliances" / appliance_id


def boxes() -> Iterator[Box]:
    for site in FLEET:
        yield from site.boxes


def listeners(ports: Ports) -> tuple[Listener, ...]:
    """All that must be free, with the option that changes each."""
    local = "127.0.0.1"
    fixed = (
        Listener(local, ports.gateway, "--gateway-port"),
        Listener(local, ports.dns, "--dns-port"),
        Listener(local, ports.dns, "--dns-port", kind="udp"),
        Listener(local, ports.control_plane, "--control-plane-port"),
        Listener(local, ports.enrolment, "--enrolment-port"),
        Listener(local, ports.origin, "--origin-port"),
        Listener(local, ports.control_plane_admin, "--control-plane-admin-port"),
        Listener(local, ports.dns_admin, "--dns-admin-port"),
        Listener(local, ports.origin_admin, "--origin-admin-port"),
    )
    fleet = tuple(
        Listener(box.address, port, option)
        for box in boxes()
        for port, option in (
            (ports.data, "--data-port"),
            (ports.appliance_admin, "--appliance-admin-port"),
        )
    )
    return fixed + fleet


def origin_program(paths: StatePaths, ports: Ports) -> Program:
    return Program(
        "origin",
        (
            "sluice-encoder",
            "origin",
            "--root",
            str(paths.origin),
            "--listen",
            f"127.0.0.1:{ports.origin}",
            "--admin",
            f"127.0.0.1:{ports.origin_admin}",
        ),
        None,
        "",
        f"http://127.0.0.1:{ports.origin_admin}",
    )


def control_plane_program(paths: StatePaths, ports: Ports) -> Program:
    text = _toml(
        state=str(paths.control_plane),
        listen=f"127.0.0.1:{ports.control_plane}",
        enrolment_listen=f"127.0.0.1:{ports.enrolment}",
        admin_listen=f"127.0.0.1:{ports.control_plane_admin}",
        zone=ZONE,
        origin_url=f"http://127.0.0.1:{ports.origin}/",
        # As in production: appliances serve who comes from the playback API, and nobody else.
        tokens="required",
    )
    return _configured(
        "control-plane",
        "sluice-control-plane",
        paths.control_plane / "config.toml",
        text,
        f"http://127.0.0.1:{ports.control_plane_admin}",
    )


def dns_program(paths: StatePaths, ports: Ports) -> Program:
    text = _toml(
        listen=[f"127.0.0.1:{ports.dns}"],
        admin_listen=f"127.0.0.1:{ports.dns_admin}",
        map=str(paths.root / "dns" / "map"),
        control_plane=f"127.0.0.1:{ports.control_plane}",
        identity=str(paths.identity("dns")),
    )
    return _configured(
        "dns",
        "sluice-dns",
        paths.root / "dns" / "config.toml",
        text,
        f"http://127.0.0.1:{ports.dns_admin}",
    )


def gateway_program(paths: StatePaths, ports: Ports) -> Program:
    text = _toml(
        listen=f"127.0.0.1:{ports.gateway}",
        control_plane=f"127.0.0.1:{ports.control_plane}",
        identity=str(paths.identity("services")),
        state=str(paths.root / "services" / "state"),
    )
    return _configured(
        "gateway",
        "sluice-services",
        paths.root / "services" / "config.toml",
        text,
        f"http://127.0.0.1:{ports.gateway}",
    )


def appliance_program(
    paths: StatePaths, ports: Ports, box: Box, *, capacity_bytes: int, token: str | None
) -> Program:
    """`token` is the one-time token of a box that has not enrolled yet."""
    home = paths.appliance(box.appliance_id)
    text = _toml(
        appliance=box.appliance_id,
        store=str(home / "store"),
        capacity_bytes=capacity_bytes,
        listen=f"{box.address}:{ports.data}",
        admin_listen=f"{box.address}:{ports.appliance_admin}",
        control_plane=f"127.0.0.1:{ports.control_plane}",
        enrolment=f"127.0.0.1:{ports.enrolment}",
        certificate_authority=str(paths.control_plane / "ca.pem"),
        identity=str(home / "identity"),
        **({"enrolment_token": token} if token else {}),
    )
    return _configured(
        box.appliance_id,
        "sluice-appliance",
        home / "config.toml",
        text,
        f"http://{box.address}:{ports.appliance_admin}",
    )


def _configured(name: str, script: str, path: PurePath, text: str, admin_url: str) -> Program:
    return Program(name, (script, "run", "--config", str(path)), path, text, admin_url)


def _toml(**settings: str | int | list[str]) -> str:
    return "".join(f"{key} = {_toml_value(value)}\n" for key, value in settings.items())


def _toml_value(value: str | int | list[str]) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value)
