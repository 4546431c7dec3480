"""How a worker tells its pool of a copy that its disk did not give: a datagram each, and nobody waits.

The kernel keeps some ten datagrams; what finds no room is told when it is met with again.
"""

import socket
from collections.abc import Callable

# A path of the store is far shorter.
_DATAGRAM_BYTES = 8 * 1024
# Heard in one turn of the loop.
_HEARD_MAX = 64

# Takes a file and the byte of the body at which it fails.
Suspect = Callable[[str, int], None]


def pair() -> tuple[socket.socket, socket.socket]:
    """The pool's end, and the one that all workers share."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for end in ends:
        end.setblocking(False)
    return ends


def tell(end: socket.socket, path: str, offset: int) -> bool:
    """Whether it was told."""
    try:
        end.send(f"{offset} {path}".encode())
    except OSError:
        return False
    return True


def hear(end: socket.socket, suspect: Suspect) -> None:
    """Hands on what has come."""
    for _ in range(_HEARD_MAX):
        try:
            offset, _, path = end.recv(_DATAGRAM_BYTES).decode().partition(" ")
        except BlockingIOError:
            return
        suspect(path, int(offset))
