"""Bytes in and out of one connection in the clear: a non-blocking socket and `sendfile`.

A connection speaks to a wire, this one or `tls.TlsWire`. Each call is one system call and never waits:
`None` or 0 says "not now", OSError that the peer is gone.
"""

import errno
import os
import socket
from collections.abc import Callable
from typing import Protocol

from sluice_appliance.serving.objects import OpenObject, StorageFault
from sluice_appliance.store.layout import BODY_OFFSET

# One read takes a whole head, and bounds how many pipelined requests can wait: at 26 bytes or more
# each, some 600.
RECEIVE_BYTES = 16 * 1024

# What `sendfile` says of the file's side; all else is the client's.
_DISK_ERRORS = frozenset((errno.EIO, errno.ESTALE, errno.ENODATA, errno.EBADMSG, errno.EUCLEAN))


class Readiness(Protocol):
    """What connections need of the event loop."""

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None: ...
    def remove_reader(self, fd: int) -> bool: ...
    def add_writer(self, fd: int, callback: Callable[[], None]) -> None: ...
    def remove_writer(self, fd: int) -> bool: ...


class Wire(Protocol):
    fd: int

    def receive(self) -> bytes | None:
        """What has come, b"" at the end of the stream, None where nothing has."""

    def has_pending(self) -> bool:
        """Whether bytes wait above the socket, of which the event loop cannot know."""

    def send(self, data: bytes, *, more: bool) -> int:
        """How many bytes were taken; `more` says that a body follows at once."""

    def send_body(self, source: OpenObject, offset: int, length: int) -> int:
        """How many bytes of the body were taken. Raises StorageFault where the file ends early."""

    def finish(self) -> None:
        """Tells the peer that nothing follows; reading goes on."""

    def close(self) -> None: ...


class PlainWire:
    __slots__ = ("_socket", "fd")

    def __init__(self, accepted: socket.socket) -> None:
        self._socket = accepted
        self.fd = accepted.fileno()

    def receive(self) -> bytes | None:
        try:
            return self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return None

    def has_pending(self) -> bool:
        return False

    def send(self, data: bytes, *, more: bool) -> int:
        try:
            return self._socket.send(data, socket.MSG_MORE if more else 0)
        except BlockingIOError:
            return 0

    def send_body(self, source: OpenObject, offset: int, length: int) -> int:
        return send_file(self.fd, source, offset, length)

    def finish(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()


def send_file(fd: int, source: OpenObject, offset: int, length: int) -> int:
    """`sendfile` of a piece of a body: from the page cache to the socket, no byte in Python."""
    try:
        sent = os.sendfile(fd, source.fd, BODY_OFFSET + offset, length)
    except BlockingIOError:
        return 0
    except OSError as error:
        if error.errno in _DISK_ERRORS:
            raise StorageFault(f"{source.path}: {error.strerror}") from None
        raise
    if sent == 0:
        raise StorageFault(f"{source.path} ends before byte {offset + length} of its body")
    return sent
