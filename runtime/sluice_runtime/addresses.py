"""`HOST:PORT` and `[V6]:PORT`, as settings and options say where to listen or connect."""

from typing import NamedTuple

_PORT_MAX = 65_535


class Address(NamedTuple):
    """A host (without brackets) and a port; port 0 is one that the system chooses."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Raises ValueError that says what it is and what is expected: `'x', expected HOST:PORT ...`."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    if not colon or not bare or bracketed != (":" in bare):
        raise ValueError(f"{text!r}, expected HOST:PORT or [V6]:PORT")
    if not (port.isascii() and port.isdigit()) or int(port) > _PORT_MAX:
        raise ValueError(f"{text!r} has port {port!r}, expected 0..{_PORT_MAX}")
    return Address(bare, int(port))


def address_setting(name: str, text: str) -> Address:
    """The same for the setting or option `name`, with which the ValueError begins."""
    try:
        return parse_address(text)
    except ValueError as error:
        raise ValueError(f"{name} is {error}") from None
