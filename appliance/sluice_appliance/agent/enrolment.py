"""How a box becomes an appliance: a key made here, a one-time token, a certificate in return.

The key never leaves the box. `cert.pem` is written last: where it is, the box has enrolled.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from sluice.fleet.v1 import fleet_pb2, fleet_pb2_grpc
from sluice_runtime.files import write_atomically
from sluice_runtime.lifecycle import Backoff
from sluice_runtime.logs import get_logger
from sluice_runtime.rpc import open_anonymous_channel
from sluice_runtime.signatures import Verifier, load_verification_key

log = get_logger(__name__)

_RETRY = Backoff(initial_s=0.5, longest_s=30.0)
_CALL_TIMEOUT_S = 10.0
_PEM = re.compile(rb"-----BEGIN [^-]+-----.+?-----END [^-]+-----\n?", re.DOTALL)


class EnrolmentFailed(Exception):
    """The control plane could not be reached, or did not take the token."""


@dataclass(frozen=True, slots=True)
class EnrolmentRequest:
    """`appliance` is `appliances/{appliance}`: the box insists on being that one."""

    appliance: str
    target: str
    token: str
    certificate_authority: Path
    identity: Path


def is_enrolled(identity: Path) -> bool:
    return (identity / "cert.pem").exists()


def load_verifier(identity: Path) -> Verifier:
    """Trusts the keys of `verification.pem`. Raises OSError, ValueError."""
    path = identity / "verification.pem"
    blocks = _PEM.findall(path.read_bytes())
    if not blocks:
        raise ValueError(f"{path} holds no PEM that can be used")
    return Verifier(load_verification_key(block) for block in blocks)


def check_identity(identity: Path) -> None:
    """Raises OSError and ValueError for an identity that cannot be used, naming the file."""
    load_verifier(identity)
    for name, read in (
        ("ca.pem", x509.load_pem_x509_certificates),
        ("cert.pem", x509.load_pem_x509_certificates),
        ("key.pem", lambda pem: load_pem_private_key(pem, password=None)),
    ):
        path = identity / name
        content = path.read_bytes()
        try:
            read(content)
        except ValueError:
            raise ValueError(f"{path} holds no PEM that can be used") from None


async def enrol(request: EnrolmentRequest, *, on_failure: Callable[[], None]) -> None:
    """Tries until it succeeds, waiting longer each time up to a bound."""
    failures = 0
    while not is_enrolled(request.identity):
        try:
            await _enrol_once(request)
        except EnrolmentFailed as error:
            failures += 1
            on_failure()
            retry_in_s = _RETRY.delay_s(failures)
            log.error("enrolment_failed", reason=str(error), retry_in_s=retry_in_s)
            await asyncio.sleep(retry_in_s)
        else:
            log.info("enrolled", appliance=request.appliance)


async def _enrol_once(request: EnrolmentRequest) -> None:
    try:
        authority = await asyncio.to_thread(request.certificate_authority.read_bytes)
        key = await asyncio.to_thread(_own_key, request.identity / "key.pem")
        response = await _ask(request, authority, _signing_request(key, request.appliance))
        _check(response, key, request.appliance)
        await asyncio.to_thread(_write, request.identity, response)
    except (OSError, ValueError) as error:
        raise EnrolmentFailed(str(error)) from None


async def _ask(
    request: EnrolmentRequest, authority: bytes, signing_request: bytes
) -> fleet_pb2.EnrolResponse:
    async with open_anonymous_channel(request.target, authority) as channel:
        stub = fleet_pb2_grpc.EnrolmentServiceStub(channel)
        try:
            return await stub.Enrol(
                fleet_pb2.EnrolRequest(
                    token=request.token, certificate_signing_request=signing_request
                ),
                timeout=_CALL_TIMEOUT_S,
            )
        except grpc.aio.AioRpcError as error:
            raise EnrolmentFailed(f"Enrol: {error.code().name}: {error.details()}") from None


def _own_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The key of an earlier try, else a new one. Raises OSError, ValueError."""
    if path.exists():
        key = load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{path} holds a {type(key).__name__}, expected an EC key")
        return key
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_atomically(path, pem, mode=0o600)
    return key


def _signing_request(key: ec.EllipticCurvePrivateKey, appliance: str) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, appliance)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _check(
    response: fleet_pb2.EnrolResponse, key: ec.EllipticCurvePrivateKey, appliance: str
) -> None:
    if response.appliance != appliance:
        raise EnrolmentFailed(f"the token is for {response.appliance!r}, this is {appliance!r}")
    if x509.load_pem_x509_certificate(response.certificate).public_key() != key.public_key():
        raise EnrolmentFailed("the certificate is for another key than this box's")
    if not response.verification_keys:
        raise EnrolmentFailed("the answer has no verification key")
    for pem in response.verification_keys:
        load_verification_key(pem)


def _write(identity: Path, response: fleet_pb2.EnrolResponse) -> None:
    keys = b"".join(pem.rstrip(b"\n") + b"\n" for pem in response.verification_keys)
    write_atomically(identity / "ca.pem", response.certificate_authority)
    write_atomically(identity / "verification.pem", keys)
    write_atomically(identity / "cert.pem", response.certificate)
