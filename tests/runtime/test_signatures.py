import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from sluice_runtime.signatures import (
    SignatureRefused,
    Verifier,
    key_id,
    load_signing_key,
    load_verification_key,
    sign,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY_ID = key_id(KEY.public_key())


def private_pem(
    key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey,
    encryption: KeySerializationEncryption | None = None,
) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


@given(st.binary(max_size=64), st.binary(max_size=64), st.sampled_from(["a", "b", "a.b"]))
def test_nothing_but_what_was_signed_as_what_it_is_passes(
    payload: bytes, other: bytes, purpose: str
) -> None:
    verifier = Verifier([KEY.public_key()])
    signature = sign(KEY, "a", payload)
    if (purpose, other) == ("a", payload):
        verifier.verify(purpose, other, signature=signature, by=KEY_ID)
    else:
        with pytest.raises(SignatureRefused, match="does not fit"):
            verifier.verify(purpose, other, signature=signature, by=KEY_ID)


@pytest.mark.parametrize("signature", [b"", b"short", bytes(64), bytes(65)])
def test_bytes_that_are_no_signature_are_refused_and_not_a_crash(signature: bytes) -> None:
    with pytest.raises(SignatureRefused):
        Verifier([KEY.public_key()]).verify("a", b"x", signature=signature, by=KEY_ID)


def test_a_key_that_nobody_trusts_is_refused_by_name() -> None:
    stranger = Ed25519PrivateKey.generate()
    by = key_id(stranger.public_key())
    with pytest.raises(SignatureRefused, match=f"signed by key {by}; trusted: {KEY_ID}"):
        Verifier([KEY.public_key()]).verify("a", b"x", signature=sign(stranger, "a", b"x"), by=by)
    with pytest.raises(SignatureRefused, match=r"signed by key \(none\); trusted: no key"):
        Verifier([]).verify("a", b"x", signature=b"", by="")


def test_keys_survive_their_files() -> None:
    public = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert key_id(load_signing_key(private_pem(KEY)).public_key()) == KEY_ID
    assert key_id(load_verification_key(public)) == KEY_ID


def test_a_file_that_is_not_the_key_we_need_is_refused_with_what_it_is() -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    public = curve.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ValueError, match=r"ECPrivateKey|EllipticCurvePrivateKey"):
        load_signing_key(private_pem(curve))
    with pytest.raises(ValueError, match=r"ECPublicKey|EllipticCurvePublicKey"):
        load_verification_key(public)
    with pytest.raises(ValueError, match=r"cannot be read: .*encrypted"):
        load_signing_key(private_pem(KEY, BestAvailableEncryption(b"secret")))
    for load in (load_signing_key, load_verification_key):
        with pytest.raises(ValueError, match=r"."):
            load(b"-----BEGIN NOTHING-----\n")
