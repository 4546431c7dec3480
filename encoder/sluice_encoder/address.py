"""`HOST:PORT` and `[V6]:PORT`."""


def parse_address(text: str) -> tuple[str, int]:
    """Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"address {text!r}, expected HOST:PORT or [V6]:PORT")
    return host, int(port)
