"""Bytes in and out of one connection in the clear: a non-blocking socket and `sendfile`.

A connection speaks to a wire, this one or `tls.TlsWire`. No call waits: 0 says "not now", OSError that
the peer is gone.
"""

import errno
import os
import socket
from collections.abc import Callable
from typing import Protocol

from sluice_appliance.serving.objects import OpenObject
from sluice_appliance.serving.spoilt import DISK_ERRORS, StorageFault
from sluice_appliance.serving.tcp_path import FIXED, follow

# One read takes a whole head, and bounds how many pipelined requests can wait: at 26 bytes or more
# each, some 600.
RECEIVE_BYTES = 16 * 1024
# Up to here head and body leave together, copied from the page cache by one `sendmsg`; beyond, the
# copy costs more than the call that it saves (tests/benchmarks/serving/ablation.py).
TOGETHER_BYTES_MAX = 32 * 1024
# The first of what a connection is sent is copied too, until its client is found to be elsewhere: of what
# `sendfile` gives, one on this machine takes 46 KiB at a time at its beginning, a wake of the loop for each.
# 1 to 4 MiB over a new connection come 1.2 to 1.3 times as fast; twice as much made no difference.
COPIED_FIRST_BYTES = 512 * 1024
_COPY_BYTES = 128 * 1024


class Wire(Protocol):
    @property
    def fd(self) -> int: ...

    @property
    def tls(self) -> str:
        """The version of TLS, "" in the clear."""

    @property
    def in_kernel(self) -> bool:
        """Whether the kernel ciphers."""

    # What is sent from now on is the last: `finish` follows it at once, and leaves in the same packet.
    last: bool

    @property
    def unsent(self) -> bool:
        """Whether something that was taken still waits to be sent; `flush` goes on with it."""

    def flush(self) -> bool:
        """Whether nothing waits any more."""

    @property
    def receive(self) -> Callable[[int], bytes]:
        """What has come, so many bytes at most; b"" at the end of the stream. Raises BlockingIOError
        where nothing has."""

    def drained(self, received_bytes: int) -> bool:
        """Whether a read that brought so much leaves nothing: what comes next makes an event."""

    def send(self, data: bytes, *, more: bool) -> int:
        """How many bytes were taken; `more` says that a body follows at once."""

    def send_body(self, source: OpenObject, offset: int, length: int) -> int:
        """How many bytes of the body were taken. Raises StorageFault where the file ends early."""

    def send_with_body(self, head: bytes, source: OpenObject, offset: int, length: int) -> int:
        """How many bytes were taken of a head and the piece of a body behind it. Raises StorageFault only
        where nothing was."""

    def follow_path(self, bound_bytes: int) -> int:
        """Lets as much wait unsent as the path asks for; how much that is, after `bound_bytes`."""

    def finish(self) -> None:
        """Tells the peer that nothing follows; reading goes on."""

    def close(self) -> None: ...


class PlainWire:
    __slots__ = ("_copied_left", "_socket", "fd", "last", "receive")

    tls = ""
    in_kernel = False
    unsent = False

    def __init__(self, accepted: socket.SocketType) -> None:
        self._socket = accepted
        self.fd = accepted.fileno()
        self.last = False
        self.receive = accepted.recv
        self._copied_left = COPIED_FIRST_BYTES

    def flush(self) -> bool:
        return True

    def drained(self, received_bytes: int) -> bool:
        return received_bytes < RECEIVE_BYTES

    def send(self, data: bytes, *, more: bool) -> int:
        try:
            return self._socket.send(data, socket.MSG_MORE if more or self.last else 0)
        except BlockingIOError:
            return 0

    def send_body(self, source: OpenObject, offset: int, length: int) -> int:
        if self._copied_left > 0:
            return self._send_copy(b"", source, offset, length)
        return send_file(self.fd, source, offset, length)

    def send_with_body(self, head: bytes, source: OpenObject, offset: int, length: int) -> int:
        try:
            if length > TOGETHER_BYTES_MAX:
                if self._copied_left > 0:
                    return self._send_copy(head, source, offset, length)
                sent = self._socket.send(head, socket.MSG_MORE)
                if sent < len(head):
                    return sent
                return sent + send_begun(self.fd, source, offset, length)
            together = (head, source.piece(offset, length))
            return self._socket.sendmsg(together, (), socket.MSG_MORE if self.last else 0)
        except BlockingIOError:
            return 0
        except OSError as error:
            # From a mapping of which the kernel cannot bring the page in.
            if error.errno == errno.EFAULT:
                raise StorageFault(f"{source.path}: {error.strerror}") from None
            raise

    def follow_path(self, bound_bytes: int) -> int:
        bound_bytes = follow(self._socket, bound_bytes)
        if bound_bytes != FIXED:
            self._copied_left = 0
        return bound_bytes

    def _send_copy(self, head: bytes, source: OpenObject, offset: int, length: int) -> int:
        copied = source.read_into(_copy_room[: min(length, _COPY_BYTES)], offset)
        try:
            sent = self._socket.sendmsg((head, _copy_room[:copied]))
        except BlockingIOError:
            return 0
        self._copied_left -= sent
        return sent

    def finish(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()


# What is copied next; it is done with when the call that fills it returns.
_copy_room = memoryview(bytearray(_COPY_BYTES))


def send_file(fd: int, source: OpenObject, offset: int, length: int) -> int:
    """`sendfile` of a piece of a body: from the page cache to the socket, no byte in Python."""
    try:
        sent = os.sendfile(fd, source.fd, source.begins_at + offset, length)
    except BlockingIOError:
        return 0
    except OSError as error:
        if error.errno in DISK_ERRORS:
            raise StorageFault(f"{source.path}: {error.strerror}") from None
        raise
    if sent == 0:
        raise StorageFault(f"{source.path} ends before byte {offset + length} of its body")
    return sent


def send_begun(fd: int, source: OpenObject, offset: int, length: int) -> int:
    """`send_file` behind a head that was taken: what is wrong with the file is met with again."""
    try:
        return send_file(fd, source, offset, length)
    except StorageFault:
        return 0
