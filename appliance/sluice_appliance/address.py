"""`HOST:PORT` and `[V6]:PORT`, as settings and options say where to listen or connect."""

import ipaddress
from dataclasses import dataclass

_PORT_MAX = 65_535


@dataclass(frozen=True, slots=True)
class Address:
    """A host (without brackets) and a TCP port; port 0 is one that the system chooses."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Raises ValueError with what is expected."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    if not colon or not bare or bracketed != (":" in bare):
        raise ValueError(f"{text!r}, expected HOST:PORT or [V6]:PORT")
    if not (port.isascii() and port.isdigit()) or int(port) > _PORT_MAX:
        raise ValueError(f"{text!r} has port {port!r}, expected 0..{_PORT_MAX}")
    return Address(bare, int(port))


def advertised(host: str, version: int) -> str:
    """`host` if it is an address of that IP version at which others reach it, else nothing."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ""
    return str(address) if address.version == version and not address.is_unspecified else ""
