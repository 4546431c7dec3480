"""Signs the URLs of a playback: one Common Access Token (CTA-5007-A) for one version of one title.

The token is a path segment of its own, `/;CAT=TOKEN/title/version/main.m3u8`: what a manifest names
relatively keeps it, which a query would not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_private_key

from sluice.tokens.v1 import tokens_pb2
from sluice_runtime.web_tokens import sign_web_token
from sluice_services.catalog.titles import Title

# IANA's numbers of CWT claims; of `catu` the path, 3, and how it begins, 1.
_ISS, _EXP, _CATV, _CATU = 1, 4, 310, 312
_PATH, _PREFIX = 3, 1
_SIGNS = frozenset((tokens_pb2.TOKEN_POLICY_SIGNED, tokens_pb2.TOKEN_POLICY_REQUIRED))


class SigningKeysUnusable(ValueError):
    """What the control plane sent cannot sign; the message says why."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key and when it begins to sign, in seconds since 1970."""

    key_id: str
    sign_time: float
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The keys that sign now and next, and whether URLs are signed at all."""

    revision: int
    signs: bool
    issuer: str
    # In order of `sign_time`; never empty.
    keys: Sequence[SigningKey]

    def key_at(self, now: float) -> SigningKey:
        """The last whose time has come; the first where none's has."""
        return next((key for key in reversed(self.keys) if key.sign_time <= now), self.keys[0])


def read_signing_keys(message: tokens_pb2.WatchSigningKeysResponse) -> SigningKeys:
    """Raises SigningKeysUnusable."""
    keys = sorted((_read_key(key) for key in message.keys), key=lambda key: key.sign_time)
    if not keys:
        raise SigningKeysUnusable("no key to sign with")
    return SigningKeys(message.revision, message.policy in _SIGNS, message.issuer, keys)


def signed(title: Title, keys: SigningKeys | None, *, now: float, expires_at: float) -> Title:
    """The title with a token in the keys of its files, where URLs are signed."""
    if keys is None or not keys.signs:
        return title
    title_id = title.name.removeprefix("titles/")
    claims = {
        _ISS: keys.issuer,
        _EXP: int(expires_at),
        _CATV: 1,
        _CATU: {_PATH: {_PREFIX: f"/{title_id}/{title.version}/"}},
    }
    signing = keys.key_at(now)
    segment = f";CAT={sign_web_token(claims, signing.key, signing.key_id)}/"
    return replace(
        title,
        hls_key=segment + title.hls_key,
        dash_key=segment + title.dash_key,
        integrity_key=segment + title.integrity_key,
    )


def _read_key(key: tokens_pb2.SigningKey) -> SigningKey:
    try:
        private = load_der_private_key(key.private_key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SigningKeysUnusable(f"key {key.key_id!r} is no private key in DER") from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != "secp256r1":
        raise SigningKeysUnusable(f"key {key.key_id!r} is not on P-256")
    return SigningKey(key.key_id, key.sign_time.ToMicroseconds() / 1e6, private)
