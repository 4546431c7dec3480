"""The settings of `sluice-dns run`."""

from dataclasses import dataclass
from pathlib import Path

from sluice_dns.listening import listen_address
from sluice_runtime.config import setting

WORKERS_MAX = 256
TCP_CONNECTIONS_MAX = 256
TCP_CONNECTIONS_PER_ADDRESS_MAX = 32
TCP_IDLE_TIMEOUT_S = 10.0
# What the option NSID can carry without crowding the answer.
SERVER_ID_CHARACTERS_MAX = 64


@dataclass(frozen=True, slots=True)
class DnsConfig:
    control_plane: str = setting("HOST:PORT of the control plane's gRPC server.")
    identity: Path = setting(
        "Folder with ca.pem, cert.pem, key.pem (role steerer) and verification.pem."
    )
    map: Path = setting("Where the last known good steering map is kept.")
    listen: tuple[str, ...] = setting(
        "Addresses to answer at, each for UDP and TCP.", default=("127.0.0.1:5353",)
    )
    workers: int = setting("UDP worker processes for each listen address.", default=1)
    admin_listen: str = setting("HOST:PORT of /metrics and /healthz.", default="127.0.0.1:9053")
    server_id: str = setting(
        "What this server calls itself in NSID and id.server; empty for nothing.", default=""
    )
    tcp_connections_max: int = setting("Open TCP connections in all.", default=TCP_CONNECTIONS_MAX)
    tcp_connections_per_address_max: int = setting(
        "Open TCP connections of one client address.", default=TCP_CONNECTIONS_PER_ADDRESS_MAX
    )
    tcp_idle_timeout_s: float = setting(
        "How long a TCP connection may take for one query or one answer.",
        default=TCP_IDLE_TIMEOUT_S,
        unit="s",
    )

    def __post_init__(self) -> None:
        if not self.listen:
            raise ValueError("listen is empty, expected at least one HOST:PORT")
        for text in self.listen:
            _address("listen", text)
        _address("admin_listen", self.admin_listen)
        _host_and_port("control_plane", self.control_plane)
        _between("workers", self.workers, 1, WORKERS_MAX)
        check_server_id(self.server_id)
        _between("tcp_connections_max", self.tcp_connections_max, 1, 65535)
        _between(
            "tcp_connections_per_address_max",
            self.tcp_connections_per_address_max,
            1,
            self.tcp_connections_max,
        )
        _between("tcp_idle_timeout_s", self.tcp_idle_timeout_s, 0.1, 300.0)


def check_server_id(text: str) -> None:
    """Raises ValueError."""
    if len(text) > SERVER_ID_CHARACTERS_MAX or not text.isascii() or not text.isprintable():
        raise ValueError(
            f"server_id is {text!r}, expected at most {SERVER_ID_CHARACTERS_MAX} printable characters"
        )


def _address(name: str, text: str) -> None:
    try:
        listen_address(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _host_and_port(name: str, text: str) -> None:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise ValueError(f"{name} is {text!r}, expected HOST:PORT")


def _between(name: str, number: float, least: float, most: float) -> None:
    if not least <= number <= most:
        raise ValueError(f"{name} is {number}, expected {least}..{most}")
