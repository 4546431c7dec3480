"""The settings of `sluice-appliance run`."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from sluice_appliance.store.disks import DiskSpec, Tier
from sluice_runtime.addresses import address_setting, parse_address
from sluice_runtime.config import setting

_ID = re.compile(r"[a-z0-9-]{1,63}")
_WORKERS_MAX = 256
_CLIENT_CONNECTIONS_MAX = 1_000_000
_RECORDS_PER_S_MAX = 100_000
_TOKENS = ("fleet", "off", "required")
_CLIENTS_SHOWN = ("whole", "network", "nothing")
_FILL_CONCURRENCY_MAX = 64
# Slower, a pass would take years; faster is no limit.
AUDIT_BYTES_PER_S = 20_000_000
_AUDIT_BYTES_PER_S = (100_000, 100_000_000_000)
# Less could not hold what a few players wait for; more is more descriptors than a process has.
_PULL_MEMORY_BYTES = (16 * 1024 * 1024, 4 * 1024 * 1024 * 1024)
# Of less, a day's writes would not be worth a file.
_PULL_FLASH_BYTES_MIN = 64 * 1024 * 1024
_TIERS = ("auto", *(tier.value for tier in Tier))
# A look-up of what is held nowhere asks each of them.
_DISKS_MAX = 64


@dataclass(frozen=True, slots=True)
class DiskConfig:
    """One of the box's disks."""

    path: Path = setting("The folder where the disk is mounted.")
    capacity_bytes: int = setting("How much it may hold.", unit="bytes")
    tier: str = setting(
        "What kind of disk it is: as the kernel says (`auto`), `ssd` or `hdd`.", default="auto"
    )

    def __post_init__(self) -> None:
        """Raises ValueError that begins with the setting's name."""
        _check_range("capacity_bytes", self.capacity_bytes, 1, 2**63 - 1)
        if self.tier not in _TIERS:
            raise ValueError(f"tier is {self.tier!r}, expected one of {', '.join(_TIERS)}")

    @property
    def wanted_tier(self) -> Tier | None:
        """None: as the kernel says."""
        return None if self.tier == "auto" else Tier(self.tier)


@dataclass(frozen=True, slots=True)
class ApplianceConfig:
    """One box."""

    appliance: str = setting("The box's id in the fleet, such as `a-1`.")
    store: Path = setting(
        "The folder of the box's state, and of the objects where no disks are named."
    )
    listen: str = setting("Where players are served, `HOST:PORT` or `[V6]:PORT`.")
    control_plane: str = setting("Where the control plane listens, `HOST:PORT`.")
    enrolment: str = setting("Where the control plane takes enrolments, `HOST:PORT`.")
    certificate_authority: Path = setting(
        "The control plane's authority, PEM: what the box trusts when it enrols."
    )
    identity: Path = setting("The folder in which the box keeps its key and certificate.")
    capacity_bytes: int = setting(
        "How much the store may hold; unset where disks are named.", unit="bytes", default=0
    )
    disks: tuple[DiskConfig, ...] = setting(
        "The disks that hold the objects, a file system each.", default=()
    )
    enrolment_token: str | None = setting(
        "The one-time token with which the box enrols; of no use once it has.", default=None
    )
    admin_listen: str = setting(
        "Where `/metrics` and `/healthz` are served.", default="127.0.0.1:9081"
    )
    advertise_ipv4: str | None = setting(
        "The IPv4 address that players are sent to; that of `listen` when unset.", default=None
    )
    advertise_ipv6: str | None = setting(
        "The IPv6 address that players are sent to; that of `listen` when unset.", default=None
    )
    workers: int = setting("Serving processes; one for each core that may serve.", default=1)
    client_connections: int = setting(
        "Connections that a worker takes from one IPv4 address or IPv6 /56; 0 for any number.",
        default=512,
    )
    access_records: Path | None = setting(
        "The file that access records are appended to, a line of JSON each; none when unset.",
        default=None,
    )
    access_records_per_s: int = setting(
        "Of how many requests a second each worker tells; the others are told by their weight.",
        default=200,
    )
    access_records_clients: str = setting(
        "How much of a client's address is told: `whole`, `network` or `nothing`.",
        default="network",
    )
    tls_certificate: Path | None = setting(
        "The certificate chain shown to players, PEM; plain HTTP when unset.", default=None
    )
    tls_key: Path | None = setting("The key of `tls_certificate`, PEM.", default=None)
    tokens: str = setting(
        "Whether requests need a token: as the `fleet` says, `off` or `required`.", default="fleet"
    )
    fill_concurrency: int = setting("Objects fetched at a time.", default=4)
    fill_stall_s: float = setting(
        "A source that sends no byte for so long is left for the next.", default=10.0, unit="s"
    )

    pull_through: bool = setting(
        "Whether what players ask for and the box does not hold is fetched while they wait.",
        default=True,
    )
    pull_memory_bytes: int = setting(
        "How much memory holds what was pulled of late.", default=256 * 1024 * 1024, unit="bytes"
    )
    pull_flash_bytes: int = setting(
        "How much flash keeps what is pulled again and again; 0 for none.", default=0, unit="bytes"
    )
    audit_bytes_per_s: int = setting(
        "How fast the audit reads each disk; 0 for no audit.",
        default=AUDIT_BYTES_PER_S,
        unit="bytes/s",
    )

    def __post_init__(self) -> None:
        """Raises ValueError that begins with the setting's name."""
        if not _ID.fullmatch(self.appliance):
            raise ValueError(f"appliance is {self.appliance!r}, expected 1..63 of a-z, 0-9 and '-'")
        for name in ("listen", "admin_listen", "control_plane", "enrolment"):
            address_setting(name, getattr(self, name))
        self._check_disks()
        _check_range("workers", self.workers, 1, _WORKERS_MAX)
        _check_range("client_connections", self.client_connections, 0, _CLIENT_CONNECTIONS_MAX)
        _check_range("access_records_per_s", self.access_records_per_s, 1, _RECORDS_PER_S_MAX)
        if self.access_records_clients not in _CLIENTS_SHOWN:
            raise ValueError(
                f"access_records_clients is {self.access_records_clients!r}, expected one of"
                f" {', '.join(_CLIENTS_SHOWN)}"
            )
        _check_range("fill_concurrency", self.fill_concurrency, 1, _FILL_CONCURRENCY_MAX)
        _check_range("fill_stall_s", self.fill_stall_s, 0.1, 3600.0)
        _check_range("pull_memory_bytes", self.pull_memory_bytes, *_PULL_MEMORY_BYTES)
        if self.pull_flash_bytes:
            _check_range(
                "pull_flash_bytes", self.pull_flash_bytes, _PULL_FLASH_BYTES_MIN, 2**63 - 1
            )
        if self.audit_bytes_per_s:
            _check_range("audit_bytes_per_s", self.audit_bytes_per_s, *_AUDIT_BYTES_PER_S)
        _check_advertised("advertise_ipv4", self.advertise_ipv4, 4)
        _check_advertised("advertise_ipv6", self.advertise_ipv6, 6)
        if self.tokens not in _TOKENS:
            raise ValueError(f"tokens is {self.tokens!r}, expected one of {', '.join(_TOKENS)}")
        if not self.serving_ipv4 and not self.serving_ipv6:
            raise ValueError(
                f"listen is {self.listen!r}, which is no address to send players to;"
                " set advertise_ipv4 or advertise_ipv6"
            )
        if (self.tls_certificate is None) != (self.tls_key is None):
            missing = "tls_key" if self.tls_key is None else "tls_certificate"
            raise ValueError(f"{missing} is missing: certificate and key go together")

    def _check_disks(self) -> None:
        if not self.disks:
            _check_range("capacity_bytes", self.capacity_bytes, 1, 2**63 - 1)
            return
        if self.capacity_bytes:
            raise ValueError(
                f"capacity_bytes is {self.capacity_bytes}, expected none: each of the disks has its own"
            )
        if len(self.disks) > _DISKS_MAX:
            raise ValueError(f"disks are {len(self.disks)}, expected 1..{_DISKS_MAX}")
        paths = [disk.path for disk in self.disks]
        twins = sorted({str(path) for path in paths if paths.count(path) > 1})
        if twins:
            raise ValueError(f"disks name {twins[0]} twice")

    @property
    def disk_specs(self) -> tuple[DiskSpec, ...]:
        """The disks that hold the objects."""
        if not self.disks:
            return (DiskSpec(self.store, self.capacity_bytes),)
        return tuple(
            DiskSpec(disk.path, disk.capacity_bytes, disk.wanted_tier) for disk in self.disks
        )

    @property
    def store_bytes(self) -> int:
        """How much all disks together may hold."""
        return sum(spec.capacity_bytes for spec in self.disk_specs)

    @property
    def serving_ipv4(self) -> str:
        """Where players reach the box by IPv4; empty if they do not."""
        return self.advertise_ipv4 or _advertised(parse_address(self.listen).host, 4)

    @property
    def serving_ipv6(self) -> str:
        """Where players reach the box by IPv6; empty if they do not."""
        return self.advertise_ipv6 or _advertised(parse_address(self.listen).host, 6)


def _check_range(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name} is {value}, expected {least}..{most}")


def _check_advertised(name: str, value: str | None, version: int) -> None:
    if value is None:
        return
    try:
        fits = ipaddress.ip_address(value).version == version
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{name} is {value!r}, expected an IPv{version} address")


def _advertised(host: str, version: int) -> str:
    """`host` if it is an address of that IP version at which others reach it, else nothing."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ""
    return str(address) if address.version == version and not address.is_unspecified else ""
