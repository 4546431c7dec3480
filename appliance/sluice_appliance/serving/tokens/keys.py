"""The keys that tokens are checked with: a JSON Web Key Set (RFC 7517), and who holds for how long.

Our control plane makes ES256 keys, so that a box in somebody else's rack holds nothing that could
sign a token. HS256 keys are for those who sign elsewhere and trust their boxes. A key has one
algorithm: a token that names another is refused. ES256 takes 84 us to check, HS256 4 us.
"""

import base64
import binascii
import enum
import hashlib
import hmac
import math
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

# Two in rotation, and those of partners who sign for themselves.
KEYS_MAX = 256
KEY_SET_BYTES_MAX = 256 * 1024
# RFC 7518, 3.2: a secret is no shorter than the hash.
SECRET_BYTES_MIN = 32
_COORDINATE_BYTES = 32
_P256 = ec.SECP256R1()
_ECDSA = ec.ECDSA(SHA256())


class KeysRefused(ValueError):
    """The key set cannot be used; the message says why. What was held stays in force."""


class Algorithm(enum.Enum):
    """What signs a token, by its JOSE name."""

    HS256 = "HS256"
    ES256 = "ES256"


@dataclass(frozen=True, slots=True)
class TokenKey:
    """One key. It checks tokens from `not_before` up to `not_after`, seconds since 1970."""

    key_id: bytes
    algorithm: Algorithm
    # The secret of HS256; X and Y on P-256 of ES256.
    material: bytes | ec.EllipticCurvePublicKey
    # The one issuer that may sign with it; empty where tokens may not name any.
    issuer: str = ""
    not_before: float = -math.inf
    not_after: float = math.inf

    def signed(self, signed: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's: 32 bytes of HMAC, or R and S, 32 bytes each."""
        if isinstance(self.material, bytes):
            return hmac.compare_digest(
                hmac.digest(self.material, signed, hashlib.sha256), signature
            )
        if len(signature) != 2 * _COORDINATE_BYTES:
            return False
        r, s = signature[:_COORDINATE_BYTES], signature[_COORDINATE_BYTES:]
        der = encode_dss_signature(int.from_bytes(r), int.from_bytes(s))
        try:
            self.material.verify(der, signed, _ECDSA)
        except InvalidSignature:
            return False
        return True


class _Key(msgspec.Struct, frozen=True):
    """A JSON Web Key. `nbf`, `exp` and `iss` are ours: RFC 7517, 4 lets a key have further members."""

    kty: str
    kid: str
    alg: str
    k: str = ""
    crv: str = ""
    x: str = ""
    y: str = ""
    iss: str = ""
    nbf: float | None = None
    exp: float | None = None


class _KeySet(msgspec.Struct, frozen=True):
    keys: list[_Key]
    revision: int = 0
    required: bool = False


_decode = msgspec.json.Decoder(_KeySet).decode


class KeySet:
    """Keys by id. `required` is the operator's word that requests need a token."""

    __slots__ = ("_keys", "required", "revision")

    def __init__(
        self, keys: Iterable[TokenKey] = (), *, revision: int = 0, required: bool = False
    ) -> None:
        """Raises KeysRefused where two keys share an id, or are too many."""
        self._keys: dict[bytes, TokenKey] = {}
        self.revision = revision
        self.required = required
        for key in keys:
            if key.key_id in self._keys:
                raise KeysRefused(f"two keys are called {key.key_id.decode(errors='replace')!r}")
            self._keys[key.key_id] = key
        if len(self._keys) > KEYS_MAX:
            raise KeysRefused(f"{len(self._keys)} keys, at most {KEYS_MAX}")

    @classmethod
    def from_bytes(cls, content: bytes) -> "KeySet":
        """Reads a JSON Web Key Set. Raises KeysRefused.

        Beside `keys` it may have `revision` and `required`; a key may have `iss`, `nbf` and `exp`.
        """
        if len(content) > KEY_SET_BYTES_MAX:
            raise KeysRefused(f"{len(content)} bytes of keys, at most {KEY_SET_BYTES_MAX}")
        try:
            told = _decode(content)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise KeysRefused(f"not a JSON Web Key Set: {error}") from None
        return cls(
            (_read_key(key) for key in told.keys), revision=told.revision, required=told.required
        )

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, key_id: bytes) -> TokenKey | None:
        """The key of that name, whether or not its time has come."""
        return self._keys.get(key_id)


def _read_key(key: _Key) -> TokenKey:
    material: bytes | ec.EllipticCurvePublicKey
    match key.kty, key.alg:
        case "oct", "HS256":
            algorithm, material = Algorithm.HS256, _read_secret(key)
        case "EC", "ES256":
            algorithm, material = Algorithm.ES256, _read_point(key)
        case _:
            raise KeysRefused(
                f"key {key.kid!r} has kty {key.kty!r} and alg {key.alg!r}, expected EC and ES256"
                " or oct and HS256"
            )
    return TokenKey(
        key.kid.encode(),
        algorithm,
        material,
        key.iss,
        -math.inf if key.nbf is None else key.nbf,
        math.inf if key.exp is None else key.exp,
    )


def _read_secret(key: _Key) -> bytes:
    secret = _read_base64url(key, "k", key.k)
    if len(secret) < SECRET_BYTES_MIN:
        raise KeysRefused(
            f"key {key.kid!r} has {len(secret)} bytes, expected {SECRET_BYTES_MIN} or more"
        )
    return secret


def _read_point(key: _Key) -> ec.EllipticCurvePublicKey:
    if key.crv != "P-256":
        raise KeysRefused(f"key {key.kid!r} is on {key.crv!r}, expected P-256")
    x, y = _read_base64url(key, "x", key.x), _read_base64url(key, "y", key.y)
    if len(x) != _COORDINATE_BYTES or len(y) != _COORDINATE_BYTES:
        raise KeysRefused(f"key {key.kid!r}: x and y have {_COORDINATE_BYTES} bytes each")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(_P256, b"\x04" + x + y)
    except ValueError:
        raise KeysRefused(f"key {key.kid!r} is no point of P-256") from None


def _read_base64url(key: _Key, name: str, text: str) -> bytes:
    try:
        return read_base64url(text.encode())
    except ValueError:
        raise KeysRefused(f"key {key.kid!r}: {name} is no base64url") from None


_URL_SAFE = bytes.maketrans(b"-_+/", b"+/  ")


def read_base64url(text: bytes) -> bytes:
    """RFC 4648, 5, with or without padding. Raises ValueError, for characters of no alphabet too."""
    text = text.rstrip(b"=")
    padded = text.translate(_URL_SAFE) + b"=" * (-len(text) % 4)
    try:
        return base64.b64decode(padded, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
