"""Asks the kernel what a connection's path carries, and tells it how much may wait unsent.

A look is one `getsockopt`, some 2.5 us with the decision; where the bound moves, one `setsockopt` of 1 us.
"""

import socket
import struct
from contextlib import suppress
from typing import Any

from sluice_appliance.serving.unsent import (
    FLOOR_BYTES,
    SAME_MACHINE_BYTES,
    PathInfo,
    is_same_machine,
    next_bound,
)

# A connection looks at its path when it stalls for the first time, and each time it has stalled this
# often: once in one to eight MiB.
LOOK_EVERY_STALLS = 16
# The bound of a connection whose buffer is still as `bound_listener` fixed it.
FIXED = 0

# asm-generic/socket.h, since Linux 5.14: whether a buffer keeps the size that it was given.
_SO_BUF_LOCK = 72
_SEND_BUFFER_KEPT = 1

# linux/tcp.h; Python 3.11 has names for TCP_INFO and TCP_NOTSENT_LOWAT alone. tcpi_min_rtt (us) stands
# at byte 148 of struct tcp_info, tcpi_delivery_rate (bytes/s) at 160; both since Linux 4.9.
_INFO = struct.Struct("=148xI8xQ")


def accept(listener: socket.socket, family: int) -> tuple[socket.SocketType, Any]:
    """A client that waits, non-blocking, and its address. Raises BlockingIOError where nobody does, OSError.

    `socket.accept` asks the listener, through two enumerations, what it is, and makes an object of
    Python's around the interpreter's own.
    """
    fd, address = listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001
    accepted = socket.SocketType(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fd)
    accepted.setblocking(False)
    return accepted, address


def look(connection: socket.SocketType) -> PathInfo:
    """Raises OSError where it is no longer connected to anything."""
    said = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
    return PathInfo._make(_INFO.unpack(said))


def bound_listener(listener: socket.socket) -> None:
    """For all that it accepts: buffers of the size that suits a client on this machine, until `follow`
    finds that a client is elsewhere. Inherited: no system call for each connection."""
    bound_unsent(listener, FLOOR_BYTES)
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_BUF_LOCK, _SEND_BUFFER_KEPT)
    except OSError:
        # An older kernel, which could not be told later to size the buffer by the path again.
        return
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SAME_MACHINE_BYTES)


def bound_unsent(connection: socket.SocketType, bound_bytes: int) -> None:
    """What may wait unsent; on a listener, for all that it accepts.

    The kernel takes no more beyond it, and calls the socket writable when less than half is left.
    """
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, bound_bytes)


def follow(connection: socket.SocketType, bound_bytes: int) -> int:
    """Looks at the path and moves the bound where the path asks for another; returns the bound.

    Where the bound is FIXED and the client elsewhere, the kernel sizes the buffer from then on.
    """
    path = look(connection)
    if bound_bytes == FIXED:
        if is_same_machine(path):
            return FIXED
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, _SO_BUF_LOCK, 0)
        bound_bytes = FLOOR_BYTES
    bound = next_bound(path, bound_bytes)
    if bound != bound_bytes:
        bound_unsent(connection, bound)
    return bound
