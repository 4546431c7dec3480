"""Asks the kernel what a connection's path carries, and tells it how much may wait unsent.

A look is one `getsockopt`, some 2.5 us with the decision; where the bound moves, one `setsockopt` of 1 us.
"""

import socket
import struct

from sluice_appliance.serving.unsent import PathInfo, next_bound

# A connection looks at its path each time it has stalled this often: once in one to eight MiB.
LOOK_EVERY_STALLS = 16

# linux/tcp.h; Python 3.11 has names for TCP_INFO and TCP_NOTSENT_LOWAT alone. tcpi_min_rtt (us) stands
# at byte 148 of struct tcp_info, tcpi_delivery_rate (bytes/s) at 160; both since Linux 4.9.
_INFO = struct.Struct("=148xI8xQ")


def look(connection: socket.socket) -> PathInfo:
    """Raises OSError where it is no longer connected to anything."""
    said = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
    return PathInfo._make(_INFO.unpack(said))


def bound_unsent(connection: socket.socket, bound_bytes: int) -> None:
    """What may wait unsent; on a listener, for all that it accepts.

    The kernel takes no more beyond it, and calls the socket writable when less than half is left.
    """
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, bound_bytes)


def follow(connection: socket.socket, bound_bytes: int) -> int:
    """Looks at the path and moves the bound where the path asks for another; returns the bound."""
    bound = next_bound(look(connection), bound_bytes)
    if bound != bound_bytes:
        bound_unsent(connection, bound)
    return bound
