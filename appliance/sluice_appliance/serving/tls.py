"""TLS 1.2 and 1.3 on the socket itself: `ssl.SSLSocket`, handshaken by the event loop, no copy through
a MemoryBIO. Where the kernel takes the keys (kTLS) the body goes by `sendfile` as in the clear; else it
is ciphered from a mapping of the page cache, a record of 16 KiB for each call.
"""

import socket
import ssl
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import NamedTuple, Protocol

from sluice_appliance.serving import tally
from sluice_appliance.serving.errors import TlsFilesRefused
from sluice_appliance.serving.limits import Limits
from sluice_appliance.serving.objects import OpenObject
from sluice_appliance.serving.wire import RECEIVE_BYTES, Readiness, send_file
from sluice_appliance.store.layout import BODY_OFFSET

# OpenSSL's name for "give the keys to the kernel where it has kTLS"; Python has one from 3.12.
_OP_ENABLE_KTLS = 1 << 3
_SOL_TLS = 282
_TLS_TX = 1
# OpenSSL takes one record (2^14 bytes, RFC 8446, 5.1) for each call, whatever it is offered.
_OFFERED_BYTES = 16 * 1024


class TlsFiles(NamedTuple):
    """A PEM chain, the server's own certificate first, and its unencrypted key."""

    certificate: Path
    key: Path


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Raises TlsFilesRefused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Renegotiation would make a send wait for a read.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | _OP_ENABLE_KTLS
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(files.certificate, files.key, password=lambda: b"")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise TlsFilesRefused(f"{files.certificate} with {files.key}: {reason}") from None
    return context


class Step(Enum):
    DONE = "the handshake is done"
    READ = "wait until the peer has sent more"
    WRITE = "wait until the peer has taken more"


class TlsWire:
    """A wire of `Wire`'s shape. Raises OSError (ssl.SSLError is one) where the peer is gone or wrong."""

    __slots__ = ("_socket", "fd", "in_kernel")

    def __init__(self, accepted: socket.socket, context: ssl.SSLContext) -> None:
        self._socket = context.wrap_socket(
            accepted, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True
        )
        self.fd = self._socket.fileno()
        self.in_kernel = False

    def handshake(self) -> Step:
        """Goes on with the handshake as far as it can without waiting."""
        try:
            self._socket.do_handshake()
        except ssl.SSLWantReadError:
            return Step.READ
        except ssl.SSLWantWriteError:
            return Step.WRITE
        self.in_kernel = _kernel_ciphers(self._socket)
        return Step.DONE

    def receive(self) -> bytes | None:
        try:
            return self._socket.recv(RECEIVE_BYTES)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            # The last: plain bytes after `finish`.
            return None

    def has_pending(self) -> bool:
        return self._socket.pending() > 0

    def send(self, data: bytes, *, more: bool) -> int:
        try:
            return self._socket.send(data)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0

    def send_body(self, source: OpenObject, offset: int, length: int) -> int:
        if self.in_kernel:
            return send_file(self.fd, source, offset, length)
        start = BODY_OFFSET + offset
        piece = source.body()[start : start + min(length, _OFFERED_BYTES)]
        try:
            return self._socket.send(piece)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0

    def finish(self) -> None:
        # Sends our close_notify; the peer's answer, which this also asks for, is not waited for.
        with suppress(ssl.SSLError, ValueError):
            self._socket.unwrap()
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()


def _kernel_ciphers(connected: ssl.SSLSocket) -> bool:
    try:
        return len(connected.getsockopt(_SOL_TLS, _TLS_TX, 4)) == 4
    except OSError:
        return False


class HandshakeHost(Protocol):
    """What a handshake needs of its worker."""

    loop: Readiness
    limits: Limits
    row: "memoryview[int]"
    now: float
    draining: bool

    def secured(self, handshake: "Handshake") -> None: ...
    def gone(self, client: "Handshake") -> None: ...


class Handshake:
    """A connection until it is secure, driven like `connection.Connection`."""

    __slots__ = ("_began_at", "_closed", "_host", "wire")

    def __init__(
        self, host: HandshakeHost, accepted: socket.socket, context: ssl.SSLContext
    ) -> None:
        self.wire = TlsWire(accepted, context)
        self._host = host
        self._began_at = host.now
        self._closed = False

    def advance(self) -> None:
        loop, fd = self._host.loop, self.wire.fd
        loop.remove_reader(fd)
        loop.remove_writer(fd)
        try:
            step = self.wire.handshake()
        except OSError:
            self._host.row[tally.TLS_FAILURES] += 1
            self.close()
            return
        match step:
            case Step.READ:
                loop.add_reader(fd, self.advance)
            case Step.WRITE:
                loop.add_writer(fd, self.advance)
            case Step.DONE:
                self._host.row[tally.TLS_HANDSHAKES] += 1
                self._host.row[tally.KERNEL_TLS] += self.wire.in_kernel
                self._host.secured(self)

    def check(self) -> None:
        if self._host.now - self._began_at > self._host.limits.handshake_s:
            self._host.row[tally.TIMEOUT_HANDSHAKE] += 1
            self.close()
        elif self._host.draining:
            self.close()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._host.loop.remove_reader(self.wire.fd)
        self._host.loop.remove_writer(self.wire.fd)
        self.wire.close()
        self._host.gone(self)
