"""TLS 1.2 and 1.3: a wire of `wire.Wire`'s shape, on the system's OpenSSL (openssl.py).

Where the kernel takes the keys (kTLS) a body goes by `sendfile` as in the clear. Else pieces of it are
read from the page cache, ciphered into memory, all their records by one call, and go out by one `send`. A
piece is up to 256 KiB for who takes it whole: between two pieces stand 16 us of Python, whose own memory
the ciphering has driven out of the core's caches. In place of 64 KiB that is worth a tenth to a third of the
rate of 1 to 4 MiB; twice as much again is worth nothing. A mapping would
save the copy, which is 2 to 7 % of the CPU of a MiB and at 64 KiB nothing that can be measured; but a page
that its disk does not give, or a file that was cut, would end the worker with all of its connections (SIGBUS).
"""

import mmap
import socket
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from sluice_appliance.serving import openssl, tally
from sluice_appliance.serving.events import Poller
from sluice_appliance.serving.host import Client
from sluice_appliance.serving.limits import Limits
from sluice_appliance.serving.objects import OpenObject
from sluice_appliance.serving.openssl import Context, TlsFiles, ffi, ssl
from sluice_appliance.serving.settings import ServingSettings
from sluice_appliance.serving.spoilt import StorageFault
from sluice_appliance.serving.tcp_path import follow
from sluice_appliance.serving.ticket_keys import TicketKeys
from sluice_appliance.serving.wire import RECEIVE_BYTES, send_begun, send_file

__all__ = [
    "Context",
    "Handshake",
    "TlsWire",
    "check_files",
    "context_of",
    "kernel_has_tls",
]

# What is ciphered at once: twice as much as before where the client took all of it, the least where it did
# not. It bounds what a slow client has in memory of ours.
PIECE_BYTES_MIN = 64 * 1024
# Of a connection, and of each body, the most: a client deciphers it while the next one is ciphered. One
# client alone gets 256 KiB a quarter faster than in one piece, 32 of them 7 % slower.
PIECE_BYTES_FIRST = 128 * 1024
PIECE_BYTES_MAX = 256 * 1024
# Of a head that is ciphered together with a body; longer ones go first.
HEAD_BYTES_MAX = 16 * 1024
# RFC 8446, 5.1: "The record layer fragments information blocks into TLSPlaintext records carrying data in
# chunks of 2^14 bytes or less."
_RECORD_BYTES = 16 * 1024
_TCP_ULP = 31


class Step(Enum):
    DONE = "the handshake is done"
    WAIT = "the peer must send or take more"


class TlsGone(OSError):
    """The peer left, or speaks no TLS that we speak."""


class TlsWire:
    """Raises OSError where the peer is gone or wrong."""

    __slots__ = (
        "_connection",
        "_context",
        "_ended",
        "_held",
        "_left",
        "_piece_bytes",
        "_socket",
        "_ticket",
        "fd",
        "in_kernel",
        "last",
        "tls",
    )

    def __init__(self, accepted: socket.SocketType, context: Context) -> None:
        self._socket = accepted
        self._context = context
        self.fd = accepted.fileno()
        self._connection: Any = openssl.new_connection(context, self.fd)
        # Ciphered, and not taken by the socket yet; where OpenSSL writes to the socket, not ciphered.
        self._left = b""
        self._piece_bytes = PIECE_BYTES_FIRST
        # Goes with what is sent next: nobody waits for it.
        self._ticket = b""
        self._ended = False
        # OpenSSL had something of the peer's before the last read.
        self._held = False
        self.in_kernel = False
        self.last = False
        self.tls = ""

    @property
    def unsent(self) -> bool:
        return bool(self._left)

    def handshake(self) -> Step:
        """Goes on with the handshake as far as it can without waiting."""
        if not self.flush():
            return Step.WAIT
        result = ssl.SSL_do_handshake(self._connection)
        if result != 1:
            self._expect_want(result)
            self._send_records()
            return Step.WAIT
        self.in_kernel = self._context.kernel and openssl.kernel_sends(self._connection)
        self.tls = ffi.string(ssl.SSL_get_version(self._connection)).decode("ascii")
        if self.tls == "TLSv1.3" and not self._context.kernel:
            # The client had the last word: what there is to send is a ticket, for which it does not wait.
            self._ticket = bytes(self._context.records.take())
        else:
            self._send_records()
        self._held = bool(ssl.SSL_has_pending(self._connection))
        return Step.DONE

    @property
    def resumed(self) -> bool:
        return bool(ssl.SSL_session_reused(self._connection))

    def receive(self, size_max: int) -> bytes:
        size = ssl.SSL_read(self._connection, _received, min(size_max, RECEIVE_BYTES))
        if size > 0:
            if self.tls != "TLSv1.3":
                # A refusal to negotiate again, which came before what was read: for no other connection.
                self._send_records()
            received: bytes = _received_view[:size]
            return received
        if ssl.SSL_get_error(self._connection, size) == openssl.ZERO_RETURN:
            return b""
        self._expect_want(size)
        # A peer may ask for new keys: the answer is among the records.
        self._send_records()
        raise BlockingIOError

    def drained(self, received_bytes: int) -> bool:
        if self._context.kernel:
            # It reads record after record, and the next one may be there.
            return False
        # OpenSSL takes what the socket has, up to a record and some: where it had nothing before, has nothing
        # left, and it was not that much, the socket has no more. (A client that fills it to the byte waits
        # for itself.)
        held, self._held = self._held, bool(ssl.SSL_has_pending(self._connection))
        return received_bytes < _RECORD_BYTES and not (held or self._held)

    def send(self, data: bytes, *, more: bool) -> int:
        if not self.flush():
            return 0
        return self._write(data, len(data))

    def send_body(self, source: OpenObject, offset: int, length: int) -> int:
        if self.in_kernel:
            return send_file(self.fd, source, offset, length)
        if not self.flush():
            return 0
        length = source.read_into(_piece_room[: min(length, self._piece_bytes)], offset)
        return self._write(_piece, length)

    def send_with_body(self, head: bytes, source: OpenObject, offset: int, length: int) -> int:
        if not self.flush():
            return 0
        if self._context.kernel:
            sent = self._write(head, len(head))
            if self._left:
                return sent
            if self.in_kernel:
                return sent + send_begun(self.fd, source, offset, length)
            with suppress(StorageFault):
                # It is met with again, when the head is known to have gone.
                sent += self.send_body(source, offset, length)
            return sent
        if len(head) > HEAD_BYTES_MAX:
            return self._write(head, len(head))
        # A head and the beginning of its body share a record.
        length = min(length, self._piece_bytes, PIECE_BYTES_FIRST)
        length = source.read_into(_piece_room[:length], offset)
        _room[HEAD_BYTES_MAX - len(head) : HEAD_BYTES_MAX] = head
        return self._write(_piece - len(head), len(head) + length)

    def flush(self) -> bool:
        """Whether everything that was ciphered has been taken."""
        if self._context.kernel:
            return not self._left or self._write_again()
        while self._left:
            try:
                sent = self._socket.send(self._left)
            except BlockingIOError:
                return False
            self._left = self._left[sent:]
        return True

    def follow_path(self, bound_bytes: int) -> int:
        return follow(self._socket, bound_bytes)

    def finish(self) -> None:
        self._say_end()
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        with suppress(OSError):
            self._say_end()
        self._connection = None
        self._socket.close()

    def _say_end(self) -> None:
        """RFC 8446, 6.1: "Each party MUST send a "close_notify" alert before closing its write side of the
        connection". The peer's, which this also asks for, is not waited for. It leaves with the end of the
        stream, which follows at once."""
        if self._ended:
            return
        self._ended = self.last = True
        ssl.SSL_shutdown(self._connection)
        openssl.crypto.ERR_clear_error()
        self._send_records()

    def _write(self, data: Any, length: int) -> int:
        written: int = ssl.SSL_write(self._connection, data, length)
        if written <= 0:
            self._expect_want(written)
            # Straight to the socket, which takes no more. What OpenSSL has begun with it must be given again.
            self._left = data if isinstance(data, bytes) else bytes(ffi.buffer(data, length))
            return length
        self._send_records()
        return written

    def _write_again(self) -> bool:
        written = ssl.SSL_write(self._connection, self._left, len(self._left))
        if written <= 0:
            self._expect_want(written)
            return False
        self._left = b""
        return True

    def _send_records(self) -> None:
        """What was ciphered goes to the socket; what it does not take now is kept for `flush`."""
        if self._context.kernel:
            return
        records = self._context.records.take()
        if not records:
            return
        if self._ticket:
            records = self._ticket + bytes(records)
            self._ticket = b""
        sent = 0
        if not self._left:
            with suppress(BlockingIOError):
                sent = self._socket.send(records, socket.MSG_MORE if self.last else 0)
        if sent < len(records):
            self._left += records[sent:]
            self._piece_bytes = PIECE_BYTES_MIN
        elif self._piece_bytes <= sent:
            self._piece_bytes = min(2 * self._piece_bytes, PIECE_BYTES_MAX)

    def _expect_want(self, result: int) -> None:
        """Raises TlsGone for anything but "not now"."""
        why = ssl.SSL_get_error(self._connection, result)
        if why not in (openssl.WANT_READ, openssl.WANT_WRITE):
            # What is wrong, for the peer to read.
            with suppress(OSError):
                self._send_records()
            raise TlsGone(openssl.last_error())


_received = ffi.new("char[]", RECEIVE_BYTES)
_received_view = ffi.buffer(_received)
# What is ciphered next: a piece of a body, and before it room for a head. It is done with when the call that
# fills it returns. A copy to where no page begins takes longer; private, for workers that are forked share
# what is not.
_room = mmap.mmap(-1, HEAD_BYTES_MAX + PIECE_BYTES_MAX, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
_piece_room = memoryview(_room)[HEAD_BYTES_MAX:]
_piece = ffi.cast("char *", ffi.from_buffer(_room)) + HEAD_BYTES_MAX


def context_of(settings: ServingSettings, ticket_keys: TicketKeys | None = None) -> Context | None:
    """What TLS connections of a worker have in common; None in the clear. Raises TlsFilesRefused."""
    if not settings.tls_certificate:
        return None
    files = TlsFiles(Path(settings.tls_certificate), Path(settings.tls_key))
    return Context(files, ticket_keys, kernel=kernel_has_tls())


def check_files(settings: ServingSettings) -> None:
    """Raises TlsFilesRefused for a pair that cannot serve."""
    context_of(settings)


def kernel_has_tls() -> bool:
    """Whether a socket may hand its keys to the kernel: the module `tls` is there."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
    ):
        try:
            client.setsockopt(socket.IPPROTO_TCP, _TCP_ULP, b"tls")
        except OSError:
            return False
    return True


class HandshakeHost(Protocol):
    """What a handshake needs of its worker."""

    poller: Poller
    limits: Limits
    row: "memoryview[int]"
    now: float
    draining: bool

    def secured(self, handshake: "Handshake") -> None: ...
    def gone(self, client: Client) -> None: ...


class Handshake:
    """A connection until it is secure, driven like `connection.Connection`."""

    __slots__ = ("_began_at", "_closed", "_host", "client", "wire")

    def __init__(
        self, host: HandshakeHost, accepted: socket.SocketType, context: Context, client: str
    ) -> None:
        self.wire = TlsWire(accepted, context)
        self.client = client
        self._host = host
        self._began_at = host.now
        self._closed = False
        host.poller.watch(self.wire.fd, self)

    def on_event(self, mask: int) -> None:
        try:
            step = self.wire.handshake()
        except OSError:
            self._host.row[tally.TLS_FAILURES] += 1
            self.close()
            return
        if step is Step.DONE:
            self._host.row[tally.TLS_HANDSHAKES] += 1
            self._host.row[tally.TLS_RESUMED] += self.wire.resumed
            self._host.row[tally.KERNEL_TLS] += self.wire.in_kernel
            self._host.secured(self)

    def check(self) -> None:
        if self._host.now - self._began_at > self._host.limits.handshake_s:
            self._host.row[tally.TIMEOUT_HANDSHAKE] += 1
            self.close()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._host.poller.forget(self.wire.fd)
        self.wire.close()
        self._host.gone(self)
