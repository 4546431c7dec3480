"""The map file on disk: read it, trust it or not, and notice when it is replaced."""

import os
from pathlib import Path

from google.protobuf.message import DecodeError

from sluice.steering.v1 import map_pb2
from sluice_dns import metrics
from sluice_dns.metrics import Row
from sluice_dns.steering_map import MapRefused, MapView, load
from sluice_runtime.logs import get_logger
from sluice_runtime.signatures import SignatureRefused, Verifier, load_verification_key

log = get_logger(__name__)

PURPOSE = "sluice.steering.v1.SteeringMap"
# How often a server looks whether the file was replaced: one stat, 2 us.
LOOK_EVERY_S = 0.1
_END_OF_KEY = b"-----END PUBLIC KEY-----"


def open_signed(content: bytes, verifier: Verifier | None) -> MapView:
    """A serialised SignedMap as a view. Without a verifier any signature will do. Raises MapRefused."""
    try:
        signed = map_pb2.SignedMap.FromString(content)
    except DecodeError:
        raise MapRefused(f"{len(content)} bytes are not a SignedMap") from None
    if verifier is not None:
        try:
            verifier.verify(PURPOSE, signed.payload, signature=signed.signature, by=signed.key_id)
        except SignatureRefused as error:
            raise MapRefused(str(error)) from None
    return load(signed.payload)


def read_verifier(path: Path) -> Verifier:
    """The keys of a file of one or more PEM public keys. Raises OSError and ValueError."""
    blocks = path.read_bytes().split(_END_OF_KEY)[:-1]
    if not blocks:
        raise ValueError(f"{path} has no public key in PEM")
    return Verifier(load_verification_key(block + _END_OF_KEY + b"\n") for block in blocks)


class MapFile:
    """Reads the file when it is new; keeps what it had when the new one is refused."""

    def __init__(self, path: Path, verifier: Verifier | None, *, row: Row) -> None:
        self.view: MapView | None = None
        # Why the newest file was refused, for people; empty when it was not.
        self.refusal = ""
        self._path = path
        self._verifier = verifier
        self._row = row
        self._generation: tuple[int, int, int] | None = None
        self._look_at = 0.0

    def newer(self, now: float) -> MapView | None:
        """The new view when the file was replaced by a good one since the last look."""
        if now < self._look_at:
            return None
        self._look_at = now + LOOK_EVERY_S
        try:
            about = os.stat(self._path)
        except OSError:
            # Gone: what was read stays good.
            return None
        generation = (about.st_ino, about.st_mtime_ns, about.st_size)
        if generation == self._generation:
            return None
        self._generation = generation
        return self._load()

    def _load(self) -> MapView | None:
        try:
            view = open_signed(self._path.read_bytes(), self._verifier)
        except (OSError, MapRefused) as error:
            self.refusal = str(error)
            self._row[metrics.MAP_REFUSED] += 1
            log.error("map_refused", path=str(self._path), reason=self.refusal)
            return None
        self.view, self.refusal = view, ""
        self._row[metrics.MAP_LOADED] += 1
        log.info("map_loaded", revision=view.revision, zone=b".".join(view.zone).decode())
        return view
