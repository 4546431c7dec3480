"""Web tokens: what is signed can be checked by who has the public half, and stands in any URL."""

import base64
import string

import cbor2
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from sluice_runtime.web_tokens import sign_web_token

KEY = ec.derive_private_key(0x5EED, ec.SECP256R1())
CLAIMS = st.dictionaries(st.integers(1, 400), st.integers() | st.text() | st.binary(), max_size=6)


def checked(token: str, key: ec.EllipticCurvePrivateKey) -> tuple[bytes, object]:
    """Key id and claims. Raises InvalidSignature."""
    cwt = cbor2.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    assert (cwt.tag, cwt.value.tag) == (61, 18)
    protected, unprotected, payload, signature = cwt.value.value
    assert cbor2.loads(protected) == {1: -7}
    signed = cbor2.dumps(["Signature1", protected, b"", payload])
    der = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
    key.public_key().verify(der, signed, ec.ECDSA(SHA256()))
    return unprotected[4], cbor2.loads(payload)


@given(CLAIMS)
def test_what_was_signed_is_what_is_read_and_stands_unescaped_in_a_url(
    claims: dict[int, object],
) -> None:
    token = sign_web_token(claims, KEY, "key-1")
    assert checked(token, KEY) == (b"key-1", claims)
    assert set(token) <= set(string.ascii_letters + string.digits + "-_")


def test_another_key_has_not_signed_it() -> None:
    with pytest.raises(InvalidSignature):
        checked(sign_web_token({1: "a"}, KEY, "key-1"), ec.derive_private_key(7, ec.SECP256R1()))
