"""Signs tokens as somebody else would, and makes the keys: nothing here is the appliance's."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

NOW = 1_750_000_000.0
ISSUER = "playback.example"
SECRET = bytes(range(32))
PRIVATE_KEY = ec.derive_private_key(0x5EED, ec.SECP256R1())
ISS, SUB, AUD, EXP, NBF, IAT, CTI = 1, 2, 3, 4, 5, 6, 7
CATREPLAY, CATV, CATU, CATM = 308, 310, 312, 313
HS256, ES256 = 5, -7
MAC0_TAG, SIGN1_TAG, CWT_TAG = 17, 18, 61


def base64url(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def point(key: ec.EllipticCurvePrivateKey = PRIVATE_KEY) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    return {
        "kty": "EC",
        "crv": "P-256",
        "x": base64url(numbers.x.to_bytes(32)).decode(),
        "y": base64url(numbers.y.to_bytes(32)).decode(),
    }


EC_KEY: dict[str, Any] = {"kid": "ec-1", "alg": "ES256", "iss": ISSUER, **point()}
SECRET_KEY: dict[str, Any] = {
    "kid": "hm-1",
    "alg": "HS256",
    "iss": ISSUER,
    "kty": "oct",
    "k": base64url(SECRET).decode(),
}


def key_set(*keys: Mapping[str, Any], required: bool = True, revision: int = 1) -> bytes:
    return json.dumps(
        {"keys": list(keys or (EC_KEY, SECRET_KEY)), "required": required, "revision": revision}
    ).encode()


def es256(signed: bytes, key: ec.EllipticCurvePrivateKey = PRIVATE_KEY) -> bytes:
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(SHA256())))
    return r.to_bytes(32) + s.to_bytes(32)


def hs256(signed: bytes, secret: bytes = SECRET) -> bytes:
    return hmac.digest(secret, signed, hashlib.sha256)


def message(
    payload: bytes,
    *,
    alg: int = HS256,
    kid: bytes | None = None,
    protected: Mapping[int, Any] | None = None,
    unprotected: Mapping[int, Any] | None = None,
) -> list[Any]:
    """The four parts of a COSE message, signed."""
    named = cbor2.dumps({1: alg} if protected is None else dict(protected))
    loose = (
        {4: kid or (b"hm-1" if alg == HS256 else b"ec-1")} if unprotected is None else unprotected
    )
    context = "MAC0" if alg == HS256 else "Signature1"
    signed = cbor2.dumps([context, named, b"", payload])
    return [named, dict(loose), payload, hs256(signed) if alg == HS256 else es256(signed)]


def cat(claims: Mapping[Any, Any], *, alg: int = HS256, tagged: bool = True, **parts: Any) -> bytes:
    """A Common Access Token of ours."""
    cose: Any = message(cbor2.dumps(dict(claims)), alg=alg, **parts)
    if tagged:
        cose = cbor2.CBORTag(CWT_TAG, cbor2.CBORTag(MAC0_TAG if alg == HS256 else SIGN1_TAG, cose))
    return base64url(cbor2.dumps(cose))


def jwt(claims: Mapping[str, Any], *, header: Mapping[str, Any] | None = None) -> bytes:
    """An RFC 9246 token, signed with the secret."""
    head = {"alg": "HS256", "kid": "hm-1"} if header is None else header
    signed = b".".join(base64url(json.dumps(part).encode()) for part in (head, claims))
    return signed + b"." + base64url(hs256(signed))
