"""Sees that every address is free before anything is started."""

import errno
import socket
from collections.abc import Iterable

from sluice_cli.bringup.layout import Listener
from sluice_cli.errors import DeskError


class PortTaken(DeskError):
    """Another program listens where we must; the message names the option that moves us."""


def require_free(listeners: Iterable[Listener]) -> None:
    """Raises PortTaken for the first address that cannot be bound."""
    for listener in listeners:
        kind = socket.SOCK_DGRAM if listener.kind == "udp" else socket.SOCK_STREAM
        with socket.socket(socket.AF_INET, kind) as probe:
            if listener.kind == "tcp":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((listener.host, listener.port))
                if listener.kind == "tcp":
                    probe.listen(1)
            except OSError as error:
                where = f"{listener.host}:{listener.port} ({listener.kind})"
                if error.errno == errno.EADDRINUSE:
                    reason = f"{where} is in use; choose another port with {listener.option} PORT"
                else:
                    reason = f"{where} cannot be bound: {error.strerror}; see {listener.option}"
                raise PortTaken(reason) from None
