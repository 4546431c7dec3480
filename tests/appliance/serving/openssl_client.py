"""A TLS client that does what Python's `ssl` will not: asks for new keys, and to negotiate again, and all in one piece."""

import ctypes.util
import hmac
import socket
import struct
from collections.abc import Callable
from typing import Any

from cffi import FFI
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ffi = FFI()
ffi.cdef(
    """
    typedef struct ssl_st SSL;
    typedef struct ssl_ctx_st SSL_CTX;
    const void *TLS_client_method(void);
    SSL_CTX *SSL_CTX_new(const void *);
    void SSL_CTX_free(SSL_CTX *);
    long SSL_CTX_ctrl(SSL_CTX *, int, long, void *);
    SSL *SSL_new(SSL_CTX *);
    void SSL_free(SSL *);
    int SSL_set_fd(SSL *, int);
    int SSL_connect(SSL *);
    int SSL_read(SSL *, void *, int);
    int SSL_write(SSL *, const void *, int);
    int SSL_key_update(SSL *, int);
    int SSL_renegotiate(SSL *);
    int SSL_do_handshake(SSL *);
    int SSL_get_error(const SSL *, int);
    int SSL_CTX_set_cipher_list(SSL_CTX *, const char *);
    typedef struct ssl_session_st SSL_SESSION;
    SSL_SESSION *SSL_get_session(const SSL *);
    size_t SSL_SESSION_get_master_key(const SSL_SESSION *, unsigned char *, size_t);
    size_t SSL_get_client_random(const SSL *, unsigned char *, size_t);
    size_t SSL_get_server_random(const SSL *, unsigned char *, size_t);
    """
)
ssl: Any = ffi.dlopen(ctypes.util.find_library("ssl") or "libssl.so.3")

TLS_1_2, TLS_1_3 = 0x0303, 0x0304
_SET_MIN_VERSION, _SET_MAX_VERSION = 123, 124
_UPDATE_REQUESTED = 1
_WANT_READ, _WANT_WRITE = 2, 3


class OpensslClient:
    """On a non-blocking socket; `turn` lets the server act while this waits."""

    def __init__(self, near: socket.socket, version: int, turn: Callable[[], None]) -> None:
        self.socket = near
        self._turn = turn
        self._context = ffi.gc(ssl.SSL_CTX_new(ssl.TLS_client_method()), ssl.SSL_CTX_free)
        for bound in (_SET_MIN_VERSION, _SET_MAX_VERSION):
            ssl.SSL_CTX_ctrl(self._context, bound, version, ffi.NULL)
        # The one that `seal` knows.
        ssl.SSL_CTX_set_cipher_list(self._context, b"ECDHE-ECDSA-AES128-GCM-SHA256")
        self._ssl = ffi.gc(ssl.SSL_new(self._context), ssl.SSL_free)
        ssl.SSL_set_fd(self._ssl, near.fileno())
        self._until(lambda: ssl.SSL_connect(self._ssl))

    def send(self, data: bytes) -> None:
        self._until(lambda: ssl.SSL_write(self._ssl, data, len(data)))

    def receive(self, size_max: int) -> bytes:
        buffer = ffi.new("char[]", size_max)
        size = self._until(lambda: ssl.SSL_read(self._ssl, buffer, size_max))
        return bytes(ffi.buffer(buffer, size))

    def ask_for_new_keys(self) -> None:
        """A KeyUpdate that asks for the server's, TLS 1.3; it goes with what is sent next."""
        assert ssl.SSL_key_update(self._ssl, _UPDATE_REQUESTED) == 1

    def seal(self, records: list[tuple[int, bytes]], first: int) -> bytes:
        """Records (content type, text) of TLS 1.2, numbered from `first` on, as this client would send
        them if it were asked to: RFC 5246, 6.2.3.3 and RFC 5288. Its Finished was number 0."""
        master = _bytes_of(ssl.SSL_SESSION_get_master_key, ssl.SSL_get_session(self._ssl), 48)
        ours = _bytes_of(ssl.SSL_get_client_random, self._ssl, 32)
        theirs = _bytes_of(ssl.SSL_get_server_random, self._ssl, 32)
        block = _prf(master, b"key expansion" + theirs + ours, 40)
        key, salt = AESGCM(block[:16]), block[32:36]
        sealed = b""
        for number, (content_type, text) in enumerate(records, first):
            nonce = struct.pack("!Q", number)
            about = nonce + struct.pack("!BHH", content_type, TLS_1_2, len(text))
            fragment = nonce + key.encrypt(salt + nonce, text, about)
            sealed += struct.pack("!BHH", content_type, TLS_1_2, len(fragment)) + fragment
        return sealed

    def ask_to_negotiate_again(self) -> None:
        """A ClientHello in the middle, TLS 1.2."""
        assert ssl.SSL_renegotiate(self._ssl) == 1
        ssl.SSL_do_handshake(self._ssl)

    def close(self) -> None:
        self.socket.close()

    def _until(self, act: Callable[[], int]) -> int:
        for _ in range(10_000):
            result = act()
            if result > 0:
                return result
            if ssl.SSL_get_error(self._ssl, result) not in (_WANT_READ, _WANT_WRITE):
                raise OSError("the server broke TLS off")
            self._turn()
        raise AssertionError("the server says nothing")


def _bytes_of(get: Callable[[Any, Any, int], int], of: Any, size: int) -> bytes:
    found = ffi.new("unsigned char[]", size)
    assert get(of, found, size) == size
    return bytes(ffi.buffer(found, size))


def _prf(secret: bytes, seed: bytes, size: int) -> bytes:
    """RFC 5246, 5."""
    found, step = b"", seed
    while len(found) < size:
        step = hmac.digest(secret, step, "sha256")
        found += hmac.digest(secret, step + seed, "sha256")
    return found[:size]
