"""Signs CBOR Web Tokens (RFC 8392): a map of claims in a COSE_Sign1 (RFC 9052), ES256, base64url.

Signing takes 50 us. Who checks them has a reader of its own, for it must doubt every byte.
"""

import base64
from collections.abc import Mapping

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

_ALG, _KID = 1, 4
_ES256 = -7
_CWT_TAG, _SIGN1_TAG = 61, 18
_ECDSA = ec.ECDSA(SHA256())


def sign_web_token(
    claims: Mapping[int, object], key: ec.EllipticCurvePrivateKey, key_id: str
) -> str:
    """The token, of characters that stand unescaped in any part of a URL. `key` is on P-256."""
    protected = cbor2.dumps({_ALG: _ES256})
    payload = cbor2.dumps(dict(claims))
    signed = cbor2.dumps(["Signature1", protected, b"", payload])
    r, s = decode_dss_signature(key.sign(signed, _ECDSA))
    signature = r.to_bytes(32) + s.to_bytes(32)
    message = [protected, {_KID: key_id.encode()}, payload, signature]
    token = cbor2.dumps(cbor2.CBORTag(_CWT_TAG, cbor2.CBORTag(_SIGN1_TAG, message)))
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()
