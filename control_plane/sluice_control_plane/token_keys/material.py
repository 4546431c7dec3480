"""ES256 keys: made, written, and shown as messages."""

import hashlib
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from google.protobuf.timestamp_pb2 import Timestamp

from sluice.tokens.v1 import tokens_pb2
from sluice_control_plane.token_keys.rotation import TokenKey
from sluice_control_plane.token_keys.storage import StoredKey

_US = 1_000_000


def new_key(sign_time: float) -> StoredKey:
    """A key that signs from `sign_time` on."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    key_id = hashlib.sha256(public_half(private)).hexdigest()[:16]
    return StoredKey(TokenKey(key_id, sign_time, None), private)


def private_key(stored: StoredKey) -> ec.EllipticCurvePrivateKey:
    key = load_der_private_key(stored.private_key, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey), "only new_key makes these"
    return key


def public_half(private: bytes) -> bytes:
    """SubjectPublicKeyInfo of a PKCS #8 key, both in DER."""
    key = load_der_private_key(private, password=None)
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def key_set(
    keys: Sequence[StoredKey], policy: tokens_pb2.TokenPolicy.ValueType, issuer: str
) -> tokens_pb2.TokenKeySet:
    """Without revision and time."""
    return tokens_pb2.TokenKeySet(
        policy=policy, issuer=issuer, keys=[_public(stored) for stored in keys]
    )


def signing_keys(
    keys: Sequence[StoredKey], told: tokens_pb2.TokenKeySet, now: float
) -> tokens_pb2.WatchSigningKeysResponse:
    """The key that signs at `now`, and those that follow it."""
    signing = max((each.key.sign_time for each in keys if each.key.sign_time <= now), default=now)
    return tokens_pb2.WatchSigningKeysResponse(
        revision=told.revision,
        policy=told.policy,
        issuer=told.issuer,
        keys=[
            tokens_pb2.SigningKey(
                key_id=each.key.key_id,
                private_key=each.private_key,
                sign_time=_timestamp(each.key.sign_time),
            )
            for each in keys
            if each.key.sign_time >= signing
        ],
    )


def _public(stored: StoredKey) -> tokens_pb2.TokenKey:
    key = stored.key
    return tokens_pb2.TokenKey(
        key_id=key.key_id,
        public_key=public_half(stored.private_key),
        sign_time=_timestamp(key.sign_time),
        expire_time=None if key.expire_time is None else _timestamp(key.expire_time),
    )


def _timestamp(seconds: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromMicroseconds(round(seconds * _US))
    return stamp
