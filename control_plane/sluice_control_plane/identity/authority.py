"""The certificate authority: what it signs and for how long (X.509, EC P-256, URI names).

Every certificate lives as long as the authority; there is no renewal and no revocation: a box that
must lose its identity is deleted with the authority's next change of key.
"""

import datetime
import hashlib
import ipaddress
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sluice_control_plane.errors import InvalidSigningRequest
from sluice_control_plane.identity.roles import Role, uri_of

YEARS = 10
# Boxes without a battery wake up some minutes in the past.
_EARLIER = datetime.timedelta(hours=1)
_RSA_BITS_MIN = 2048
_REQUEST_BYTES_MAX = 16 * 1024
_CURVES = (ec.SECP256R1, ec.SECP384R1)

_PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """Signs certificates with one key."""

    def __init__(self, certificate: bytes, key: bytes) -> None:
        """Raises ValueError for PEM that is not a certificate and its EC key."""
        self.certificate = certificate
        self._certificate = x509.load_pem_x509_certificate(certificate)
        loaded = load_pem_private_key(key, password=None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise ValueError(f"the authority's key is a {type(loaded).__name__}, expected EC")
        self._key = loaded

    def issue(self, role: Role, name: str, *, now: float) -> Issued:
        """A client certificate with a new key."""
        key = ec.generate_private_key(ec.SECP256R1())
        return Issued(self.sign_client(key.public_key(), role, name, now=now), _pem(key))

    def issue_server(self, names: tuple[str, ...], *, now: float) -> Issued:
        """A server certificate for DNS names and IP addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternative = x509.SubjectAlternativeName([_general_name(name) for name in names])
        certificate = self._sign(
            key.public_key(), names[0], alternative, ExtendedKeyUsageOID.SERVER_AUTH, now
        )
        return Issued(certificate, _pem(key))

    def sign_client(self, key: _PublicKey, role: Role, name: str, *, now: float) -> bytes:
        """A client certificate for a key that somebody else holds, PEM."""
        uri = x509.UniformResourceIdentifier(uri_of(role, name))
        return self._sign(
            key,
            f"{role} {name}"[:64],
            x509.SubjectAlternativeName([uri]),
            ExtendedKeyUsageOID.CLIENT_AUTH,
            now,
        )

    def _sign(
        self,
        key: _PublicKey,
        common_name: str,
        alternative: x509.SubjectAlternativeName,
        usage: x509.ObjectIdentifier,
        now: float,
    ) -> bytes:
        certificate = (
            _builder(common_name, key, now)
            .issuer_name(self._certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(alternative, critical=False)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(Encoding.PEM)


def new_authority(*, now: float) -> Issued:
    """A self-signed authority that may sign end certificates only."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = "Sluice control plane"
    certificate = (
        _builder(name, key.public_key(), now)
        .issuer_name(_name(name))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                crl_sign=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Issued(certificate.public_bytes(Encoding.PEM), _pem(key))


def fingerprint_of(key: _PublicKey) -> str:
    """SHA-256 of a public key's SubjectPublicKeyInfo, hexadecimal."""
    info = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(info).hexdigest()


def key_of_request(pem: bytes) -> _PublicKey:
    """The public key of a PKCS #10 request that proves its holder. Raises InvalidSigningRequest."""
    if len(pem) > _REQUEST_BYTES_MAX:
        raise InvalidSigningRequest(
            f"the signing request has {len(pem)} bytes, expected at most {_REQUEST_BYTES_MAX}"
        )
    try:
        request = x509.load_pem_x509_csr(pem)
        proven = request.is_signature_valid
        key = request.public_key()
    except (ValueError, UnsupportedAlgorithm, InvalidSignature):
        raise InvalidSigningRequest("the signing request is not PKCS #10 in PEM") from None
    if not proven:
        raise InvalidSigningRequest("the signing request is not signed by the key it names")
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        return key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _RSA_BITS_MIN:
        return key
    raise InvalidSigningRequest(
        f"the signing request's key is a {type(key).__name__.strip('_')}, expected "
        f"EC P-256, EC P-384 or RSA of {_RSA_BITS_MIN} bits or more"
    )


def _builder(common_name: str, key: _PublicKey, now: float) -> x509.CertificateBuilder:
    at = datetime.datetime.fromtimestamp(int(now), datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - _EARLIER)
        .not_valid_after(at + datetime.timedelta(days=365 * YEARS))
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Sluice"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
