"""The files of the authority: made on the first run, left alone ever after.

    ca.pem ca.key           the certificate authority
    signing.pem             Ed25519: signs manifests and maps
    verification.pem        its public half
    server/                 this server's ca.pem cert.pem key.pem
    identities/NAME/        ca.pem cert.pem key.pem verification.pem for a caller to take away

Every file is written atomically and the certificate of a pair last, so that a crash leaves a pair
whole or makes it anew.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from sluice_control_plane.identity.authority import Authority, Issued, new_authority
from sluice_control_plane.identity.roles import Role
from sluice_runtime.files import write_atomically
from sluice_runtime.rpc import SERVER_NAME, TlsFiles
from sluice_runtime.signatures import load_signing_key

# The folder of each identity that a whole system on one machine needs: role and name.
IDENTITIES = {
    "operator": (Role.OPERATOR, "operator"),
    "publisher": (Role.PUBLISHER, "publisher"),
    "dns": (Role.STEERER, "dns"),
    "services": (Role.SERVICE, "services"),
}
_SERVER_NAMES = (SERVER_NAME, "localhost", "127.0.0.1", "::1")
_SECRET = 0o600


class StateUnusable(Exception):
    """A file of the state folder cannot be read, written or understood. The message names it."""


@dataclass(frozen=True, slots=True)
class StateFolder:
    """What the running server takes from the folder."""

    authority: Authority
    server: TlsFiles
    signing_key: Ed25519PrivateKey
    # Public keys in PEM, newest first.
    verification_keys: tuple[bytes, ...]


def prepare(state: Path, *, now: float) -> StateFolder:
    """Makes what is missing and reads the rest. Raises StateUnusable."""
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        authority = _prepare_authority(state, now)
        signing_key = _prepare_signing(state)
        server = state / "server"
        _write_pair(server, authority, lambda: authority.issue_server(_SERVER_NAMES, now=now))
        folder = StateFolder(
            authority,
            TlsFiles.in_folder(server),
            signing_key,
            (_public_pem(signing_key),),
        )
        for name, (role, caller) in IDENTITIES.items():
            issue(folder, role, caller, state / "identities" / name, now=now)
    except OSError as error:
        raise StateUnusable(f"{error.filename or state}: {error.strerror}") from None
    return folder


def issue(folder: StateFolder, role: Role, name: str, out: Path, *, now: float) -> bool:
    """Writes an identity unless one is there; says whether it did. Raises OSError."""
    made = _write_pair(out, folder.authority, lambda: folder.authority.issue(role, name, now=now))
    _write_once(out / "verification.pem", b"".join(folder.verification_keys))
    return made


def _prepare_authority(state: Path, now: float) -> Authority:
    certificate, key = state / "ca.pem", state / "ca.key"
    if not certificate.exists():
        made = new_authority(now=now)
        write_atomically(key, made.key, mode=_SECRET)
        write_atomically(certificate, made.certificate)
    try:
        return Authority(certificate.read_bytes(), key.read_bytes())
    except ValueError as error:
        raise StateUnusable(f"{certificate} and {key.name}: {error}") from None


def _prepare_signing(state: Path) -> Ed25519PrivateKey:
    path = state / "signing.pem"
    if not path.exists():
        made = Ed25519PrivateKey.generate()
        pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_atomically(path, pem, mode=_SECRET)
    try:
        key = load_signing_key(path.read_bytes())
    except ValueError as error:
        raise StateUnusable(f"{path}: {error}") from None
    _write_once(state / "verification.pem", _public_pem(key))
    return key


def _write_pair(folder: Path, authority: Authority, make: Callable[[], Issued]) -> bool:
    """Writes `ca.pem key.pem cert.pem` unless the certificate is there."""
    files = TlsFiles.in_folder(folder)
    if files.certificate.exists():
        return False
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    issued = make()
    write_atomically(files.certificate_authority, authority.certificate)
    write_atomically(files.key, issued.key, mode=_SECRET)
    write_atomically(files.certificate, issued.certificate)
    return True


def _write_once(path: Path, content: bytes) -> None:
    if not os.path.exists(path):
        write_atomically(path, content)


def _public_pem(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
