"""The keys that TLS sessions are sealed with: one memory file, written by the pool, read by its workers.

With them a session resumes with whichever worker its client meets. They are renewed once a day, for
who has them could pose as the box to clients that come back, and of TLS 1.2 read what was recorded (RFC 5077,
5.5). A client whose session was sealed with former keys makes a full handshake, once.
"""

import os
from typing import Self

from sluice_runtime.files import memory_file

# A name, a key to seal with and a key to sign with, as OpenSSL has them laid out.
TICKET_KEYS_BYTES = 80


class TicketKeys:
    """`made` by the pool, and in a worker around the descriptor that it inherits."""

    __slots__ = ("_seen", "descriptor")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._seen = b""

    @classmethod
    def made(cls) -> Self:
        return cls(memory_file("sluice-ticket-keys", os.urandom(TICKET_KEYS_BYTES)))

    def renew(self) -> None:
        os.pwrite(self.descriptor, os.urandom(TICKET_KEYS_BYTES), 0)

    def newest(self) -> bytes | None:
        """The keys, where they are not those that were last asked for: one system call."""
        keys = os.pread(self.descriptor, TICKET_KEYS_BYTES, 0)
        if keys == self._seen:
            return None
        self._seen = keys
        return keys

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
