"""The system's OpenSSL, spoken to directly: what Python's `ssl` does not let a server do.

Three things are needed of it. Records are ciphered into memory, several by one call, and go out by one
`send`: `ssl.SSLSocket` makes a call and a system call of every record of 16 KiB. Session tickets are
sealed with keys that all workers share, so that a session resumes wherever the kernel puts its client.
And where the kernel ciphers (kTLS), the socket is handed over. `libssl` is the same library that `ssl`
stands on, kept by the distribution; cffi binds it without a compiler.
"""

import ctypes.util
from pathlib import Path
from typing import Any, NamedTuple

from cffi import FFI

from sluice_appliance.serving.errors import TlsFilesRefused
from sluice_appliance.serving.ticket_keys import TicketKeys

ffi = FFI()
ffi.cdef(
    """
    typedef struct ssl_st SSL;
    typedef struct ssl_ctx_st SSL_CTX;
    typedef struct bio_st BIO;
    const void *TLS_server_method(void);
    SSL_CTX *SSL_CTX_new(const void *);
    void SSL_CTX_free(SSL_CTX *);
    long SSL_CTX_ctrl(SSL_CTX *, int, long, void *);
    uint64_t SSL_CTX_set_options(SSL_CTX *, uint64_t);
    int SSL_CTX_set_num_tickets(SSL_CTX *, size_t);
    int SSL_CTX_use_certificate_chain_file(SSL_CTX *, const char *);
    int SSL_CTX_use_PrivateKey_file(SSL_CTX *, const char *, int);
    int SSL_CTX_check_private_key(const SSL_CTX *);
    int SSL_CTX_set_session_id_context(SSL_CTX *, const unsigned char *, unsigned int);
    void SSL_CTX_set_default_passwd_cb(SSL_CTX *, int (*)(char *, int, int, void *));
    void SSL_CTX_set_alpn_select_cb(SSL_CTX *, int (*)(SSL *, const unsigned char **, unsigned char *,
                                    const unsigned char *, unsigned int, void *), void *);
    SSL *SSL_new(SSL_CTX *);
    void SSL_free(SSL *);
    void SSL_set_accept_state(SSL *);
    void SSL_set_bio(SSL *, BIO *, BIO *);
    int SSL_do_handshake(SSL *);
    int SSL_read(SSL *, void *, int);
    int SSL_write(SSL *, const void *, int);
    int SSL_shutdown(SSL *);
    int SSL_has_pending(const SSL *);
    int SSL_get_error(const SSL *, int);
    const char *SSL_get_version(const SSL *);
    int SSL_session_reused(const SSL *);
    BIO *SSL_get_wbio(const SSL *);
    int BIO_new_bio_pair(BIO **, size_t, BIO **, size_t);
    int BIO_nread(BIO *, char **, int);
    BIO *BIO_new_socket(int, int);
    int BIO_up_ref(BIO *);
    long BIO_ctrl(BIO *, int, long, void *);
    unsigned long ERR_get_error(void);
    void ERR_error_string_n(unsigned long, char *, size_t);
    void ERR_clear_error(void);
    """
)


def _load(name: str) -> Any:
    """Raises OSError where the system has no OpenSSL 3."""
    found = ctypes.util.find_library(name)
    return ffi.dlopen(found or f"lib{name}.so.3")


ssl = _load("ssl")
crypto = _load("crypto")

# From OpenSSL's headers; stable since 1.1.1 and 3.0.
WANT_READ, WANT_WRITE, ZERO_RETURN = 2, 3, 6
_CTRL_MODE = 33
_CTRL_SET_READ_AHEAD = 41
_CTRL_SET_SESSION_CACHE_MODE = 44
_CTRL_SET_TICKET_KEYS = 59
_CTRL_SET_MIN_VERSION = 123
_TLS_1_2 = 0x0303
_MODE_MOVING_BUFFER_AUTO_RETRY_RELEASE = 0x2 | 0x4 | 0x10
_NO_COMPRESSION = 1 << 17
_NO_RENEGOTIATION = 1 << 30
_IGNORE_UNEXPECTED_EOF = 1 << 7
_ENABLE_KTLS = 1 << 3
_BIO_GET_KTLS_SEND = 73
_PEM = 1
# More than is ever ciphered between two sends.
RECORDS_BYTES = 320 * 1024
_ALPN_OK, _ALPN_NOACK = 0, 3


class TlsFiles(NamedTuple):
    """A PEM chain, the server's own certificate first, and its unencrypted key."""

    certificate: Path
    key: Path


class Context:
    """What the connections of a worker have in common."""

    def __init__(
        self, files: TlsFiles, ticket_keys: TicketKeys | None = None, *, kernel: bool = False
    ) -> None:
        """`ticket_keys`: those of all workers; None for keys of its own. `kernel`: let the kernel cipher
        what it can. Raises TlsFilesRefused."""
        self.kernel = kernel
        self._ticket_keys = ticket_keys
        self.handle = ffi.gc(ssl.SSL_CTX_new(ssl.TLS_server_method()), ssl.SSL_CTX_free)
        self.records = Records()
        ctrl = ssl.SSL_CTX_ctrl
        ctrl(self.handle, _CTRL_SET_MIN_VERSION, _TLS_1_2, ffi.NULL)
        ctrl(self.handle, _CTRL_MODE, _MODE_MOVING_BUFFER_AUTO_RETRY_RELEASE, ffi.NULL)
        # One `recv` for what came, not one for the head of each record and one for its rest. The kernel
        # needs to see records begin, where it deciphers.
        ctrl(self.handle, _CTRL_SET_READ_AHEAD, 0 if kernel else 1, ffi.NULL)
        # Sessions are in the clients' tickets, not in memory of ours.
        ctrl(self.handle, _CTRL_SET_SESSION_CACHE_MODE, 0, ffi.NULL)
        ssl.SSL_CTX_set_session_id_context(self.handle, b"sluice", 6)
        # One for each handshake, full or resumed: a player keeps its connections, and who comes back has
        # one. OpenSSL would send two after a full one.
        ssl.SSL_CTX_set_num_tickets(self.handle, 1)
        options = _NO_COMPRESSION | _NO_RENEGOTIATION | _IGNORE_UNEXPECTED_EOF
        ssl.SSL_CTX_set_options(self.handle, options | (_ENABLE_KTLS if kernel else 0))
        ssl.SSL_CTX_set_default_passwd_cb(self.handle, _PASSWORD_CALLBACK)
        ssl.SSL_CTX_set_alpn_select_cb(self.handle, _ALPN_CALLBACK, ffi.NULL)
        self.renew_ticket_keys()
        self._load(files)

    def renew_ticket_keys(self) -> None:
        """From now on sessions are sealed, and have to be sealed, with the keys as they are now."""
        keys = self._ticket_keys.newest() if self._ticket_keys is not None else None
        if keys is None:
            return
        laid_out = ffi.from_buffer(bytearray(keys))
        taken = ssl.SSL_CTX_ctrl(self.handle, _CTRL_SET_TICKET_KEYS, len(keys), laid_out)
        assert taken == 1, "OpenSSL took no ticket keys"

    def _load(self, files: TlsFiles) -> None:
        for path in files:
            try:
                path.open("rb").close()
            except OSError as error:
                raise TlsFilesRefused(f"{path}: {error.strerror}") from None
        certificate, key = (bytes(path) for path in files)
        loaded = (
            ssl.SSL_CTX_use_certificate_chain_file(self.handle, certificate) == 1
            and ssl.SSL_CTX_use_PrivateKey_file(self.handle, key, _PEM) == 1
            and ssl.SSL_CTX_check_private_key(self.handle) == 1
        )
        if not loaded:
            raise TlsFilesRefused(f"{files.certificate} with {files.key}: {last_error()}")


class Records:
    """What is ciphered and not yet sent, in memory: the two ends of a pipe. It is empty between two calls
    of one wire's, so that one serves all connections of a worker; and begins at its beginning again
    when it was emptied, so that what it holds is in one piece."""

    __slots__ = ("_at", "_out", "into")

    def __init__(self) -> None:
        ends = ffi.new("BIO *[2]")
        made = crypto.BIO_new_bio_pair(ends, RECORDS_BYTES, ends + 1, 1)
        assert made == 1, "no memory for a pipe"
        # Where OpenSSL writes; a memory BIO would be wiped whole each time it is emptied.
        self.into, self._out = ends[0], ends[1]
        self._at = ffi.new("char **")

    def take(self) -> Any:
        """All of them, as they stand there: to be sent or copied before anything else is ciphered."""
        length = crypto.BIO_nread(self._out, self._at, RECORDS_BYTES)
        return ffi.buffer(self._at[0], length) if length > 0 else b""


def new_connection(context: Context, fd: int) -> Any:
    """A server's side on a connected socket, freed when nobody holds it."""
    connection = ffi.gc(ssl.SSL_new(context.handle), ssl.SSL_free)
    ssl.SSL_set_accept_state(connection)
    incoming = crypto.BIO_new_socket(fd, 0)
    outgoing = incoming if context.kernel else context.records.into
    # `SSL_set_bio` takes over one reference to each; to one where both are the same.
    if not context.kernel:
        crypto.BIO_up_ref(outgoing)
    ssl.SSL_set_bio(connection, incoming, outgoing)
    return connection


def kernel_sends(connection: Any) -> bool:
    """Whether the kernel ciphers what is written to the socket."""
    return bool(crypto.BIO_ctrl(ssl.SSL_get_wbio(connection), _BIO_GET_KTLS_SEND, 0, ffi.NULL) > 0)


def last_error() -> str:
    """What went wrong, in OpenSSL's words; forgets it."""
    code = crypto.ERR_get_error()
    if not code:
        return "no reason given"
    text = ffi.new("char[256]")
    crypto.ERR_error_string_n(code, text, 256)
    crypto.ERR_clear_error()
    found: bytes = ffi.string(text)
    return found.decode("ascii", "replace").rpartition(":")[2]


def _no_password(buffer: Any, size: int, writing: int, data: Any) -> int:
    return 0


_HTTP_1_1 = ffi.new("unsigned char[]", b"http/1.1")


def _choose_http_1_1(
    connection: Any, out: Any, out_length: Any, offered: Any, offered_length: int, data: Any
) -> int:
    if b"\x08http/1.1" not in bytes(ffi.buffer(offered, offered_length)):
        return _ALPN_NOACK
    out[0], out_length[0] = _HTTP_1_1, 8
    return _ALPN_OK


# Held here: OpenSSL calls them for as long as this process lives.
_PASSWORD_CALLBACK = ffi.callback("int(char *, int, int, void *)", _no_password)
_ALPN_CALLBACK = ffi.callback(
    "int(SSL *, const unsigned char **, unsigned char *, const unsigned char *, unsigned int, void *)",
    _choose_http_1_1,
)
