"""What a client asks and reads, over either wire, of a worker that is turned by hand."""

import random
import ssl
from pathlib import Path

from appliance.serving.serve_process import put_object
from appliance.serving.worker_by_hand import ByHand, PlainClient

from sluice_appliance.serving.openssl import TlsFiles

SMALL = b"a small object\n"
MIDDLE = random.Random(3).randbytes(300_001)
BIG = random.Random(5).randbytes(3 * 1024 * 1024 + 7)
BODIES = {b"small": SMALL, b"middle": MIDDLE, b"big": BIG}

Answer = tuple[int, list[bytes], bytes]


def put_bodies(root: Path) -> Path:
    for name, body in BODIES.items():
        put_object(root, f"film/v1/{name.decode()}", body)
    return root


class Clients:
    """Connects over the wire that a test is about."""

    def __init__(
        self,
        served: ByHand,
        wire: str,
        files: TlsFiles,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ) -> None:
        self.served = served
        self.files = files
        self._context = ssl.create_default_context(cafile=str(files.certificate))
        self._context.minimum_version = self._context.maximum_version = version
        self._secure = wire == "tls"

    def connect(self, *, receive_buffer_bytes: int = 0, send_buffer_bytes: int = 0) -> PlainClient:
        buffers = (receive_buffer_bytes, send_buffer_bytes)
        if self._secure:
            return self.served.secure(
                self._context, receive_buffer_bytes=buffers[0], send_buffer_bytes=buffers[1]
            )
        return self.served.connect(receive_buffer_bytes=buffers[0], send_buffer_bytes=buffers[1])


def ask(name: bytes, *lines: bytes, method: bytes = b"GET") -> bytes:
    fields = b"".join(line + b"\r\n" for line in lines)
    return b"%b /film/v1/%b HTTP/1.1\r\nHost: a\r\n%b\r\n" % (method, name, fields)


class Reading:
    """What a client received, answer by answer."""

    def __init__(self, client: PlainClient, piece_bytes: int = 1 << 16) -> None:
        self._client = client
        self._piece_bytes = piece_bytes
        self._received = bytearray()

    def answer(self, *, head_only: bool = False) -> Answer:
        """Status, the lines of the head but its Date, body."""
        while (end := self._received.find(b"\r\n\r\n")) < 0:
            self._more()
        first, *lines = bytes(self._received[:end]).split(b"\r\n")
        del self._received[: end + 4]
        status = int(first.split(b" ")[1])
        (length,) = [int(line[16:]) for line in lines if line.startswith(b"Content-Length: ")] or [
            0
        ]
        size = 0 if head_only or status == 304 else length
        while len(self._received) < size:
            self._more()
        body = bytes(self._received[:size])
        del self._received[:size]
        return status, [first, *(line for line in lines if not line.startswith(b"Date: "))], body

    def ended(self) -> bool:
        return not self._received and self._client.receive(100) == b""

    def _more(self) -> None:
        piece = self._client.receive(self._piece_bytes)
        assert piece, f"the connection ended after {bytes(self._received[-80:])!r}"
        self._received += piece
