"""The token keys as the control plane signed them, and as workers read them: a JSON Web Key Set."""

import base64
import enum
import json
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from google.protobuf.message import DecodeError

from sluice.tokens.v1 import tokens_pb2
from sluice_appliance.serving.tokens.keys import KeySet, KeysRefused
from sluice_runtime.signatures import SignatureRefused, Verifier

PURPOSE = "sluice.tokens.v1.TokenKeySet"
_COORDINATE_BYTES = 32


class Refusal(enum.Enum):
    """Why a key set was not taken; the label of its counter."""

    SIGNATURE = "signature"
    MALFORMED = "malformed"
    OLDER = "older"


class KeySetRefused(Exception):
    """The key set that is held stays in force."""

    def __init__(self, refusal: Refusal, message: str) -> None:
        super().__init__(message)
        self.refusal = refusal


def open_key_set(
    signed: tokens_pb2.SignedTokenKeys, *, verifier: Verifier, held_revision: int
) -> tuple[int, bytes]:
    """The revision, and the key set as workers read it. Raises KeySetRefused."""
    try:
        verifier.verify(PURPOSE, signed.payload, signature=signed.signature, by=signed.key_id)
    except SignatureRefused as error:
        raise KeySetRefused(Refusal.SIGNATURE, str(error)) from None
    try:
        told = tokens_pb2.TokenKeySet.FromString(signed.payload)
        keys = _as_jwk_set(told)
        KeySet.from_bytes(keys)
    except (DecodeError, KeysRefused) as error:
        raise KeySetRefused(Refusal.MALFORMED, f"the token keys: {error}") from None
    if told.revision < held_revision:
        raise KeySetRefused(
            Refusal.OLDER, f"the token keys are revision {told.revision}, {held_revision} is held"
        )
    return told.revision, keys


def _as_jwk_set(told: tokens_pb2.TokenKeySet) -> bytes:
    """A key checks nothing before it signs. Raises KeysRefused."""
    return json.dumps(
        {
            "revision": told.revision,
            "required": told.policy == tokens_pb2.TOKEN_POLICY_REQUIRED,
            "keys": [_as_jwk(key, told.issuer) for key in told.keys],
        }
    ).encode()


def _as_jwk(key: tokens_pb2.TokenKey, issuer: str) -> dict[str, Any]:
    try:
        public = load_der_public_key(key.public_key)
    except (ValueError, UnsupportedAlgorithm):
        raise KeysRefused(f"key {key.key_id!r} is no public key in DER") from None
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name != "secp256r1":
        raise KeysRefused(f"key {key.key_id!r} is not on P-256")
    numbers = public.public_numbers()
    jwk: dict[str, Any] = {
        "kid": key.key_id,
        "kty": "EC",
        "crv": "P-256",
        "alg": "ES256",
        "x": _base64url(numbers.x),
        "y": _base64url(numbers.y),
        "iss": issuer,
        "nbf": key.sign_time.ToMicroseconds() / 1e6,
    }
    if key.HasField("expire_time"):
        jwk["exp"] = key.expire_time.ToMicroseconds() / 1e6
    return jwk


def _base64url(number: int) -> str:
    raw = number.to_bytes(_COORDINATE_BYTES)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
