"""URI Signing (RFC 9246): a signed JWT whose `cdniuc` claim says which URIs it is for.

A token is refused for any claim of RFC 9246 that is not kept here (`jti`, `cdniip`, and renewal:
`cdniets`, `cdnistt`, `cdnistd`), and for a `cdnicrit` that names a claim beyond those that are. Claims
that neither the RFC nor `cdnicrit` knows are passed over, as RFC 7519 asks.
"""

import base64
import hashlib
import math
from dataclasses import dataclass
from typing import Any

import msgspec

from sluice_appliance.serving.tokens.claims import (
    Asked,
    Grant,
    Reason,
    Rule,
    TokenRefused,
    check_audience,
    check_issuer,
    time_claim,
)
from sluice_appliance.serving.tokens.keys import KeySet, TokenKey, read_base64url
from sluice_appliance.serving.tokens.patterns import Pattern, PatternRefused, compile_pattern

VERSION = 1
_PARTS = 3
_JUDGED = frozenset(("iss", "sub", "aud", "exp", "nbf", "iat", "cdniv", "cdnicrit", "cdniuc"))
# RFC 9246, 2.1.7: a CDN that does not keep the identifiers it has seen rejects a token with one.
_NOT_KEPT = ("jti", "cdniip", "cdniets")
# 0 says that the token is not renewed, and at no depth.
_NOT_KEPT_UNLESS_0 = ("cdnistt", "cdnistd")

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def open_jwt(token: bytes, keys: KeySet, audiences: frozenset[str]) -> tuple[Grant, TokenKey]:
    """What a JWT grants, and the key that signed it. Raises TokenRefused."""
    parts = token.split(b".")
    if len(parts) != _PARTS:
        raise _malformed(f"a JWT of {len(parts)} parts, expected {_PARTS}")
    header = _read_json(parts[0], "the header")
    key = _key_of(header, keys)
    signed = token[: -len(parts[2]) - 1]
    if not key.signed(signed, _read_base64url(parts[2], "the signature")):
        raise TokenRefused(Reason.FORGED, "the signature does not fit")
    return _read_claims(_read_json(parts[1], "the claims"), key, audiences), key


def _key_of(header: dict[str, Any], keys: KeySet) -> TokenKey:
    if "crit" in header or "b64" in header:
        # RFC 7515, 4.1.11: extensions that are not understood make the token invalid.
        raise TokenRefused(Reason.UNSUPPORTED, "the header has extensions")
    key_id = header.get("kid")
    if not isinstance(key_id, str):
        raise TokenRefused(Reason.UNKNOWN_KEY, "the token names no key")
    key = keys.find(key_id.encode(errors="replace"))
    if key is None:
        raise TokenRefused(Reason.UNKNOWN_KEY, f"there is no key {key_id[:40]!r}")
    # The key says how it signs; `none` and a public key taken for a secret end here.
    if header.get("alg") != key.algorithm.value:
        said = str(header.get("alg"))[:40]
        raise TokenRefused(Reason.FORGED, f"alg is {said!r}, its key's {key.algorithm.value}")
    return key


def _read_claims(claims: dict[str, Any], key: TokenKey, audiences: frozenset[str]) -> Grant:
    version = claims.get("cdniv", VERSION)
    if isinstance(version, bool) or version != VERSION:
        raise TokenRefused(Reason.UNSUPPORTED, f"cdniv is {str(version)[:40]}, expected {VERSION}")
    if "cdnicrit" in claims:
        _check_critical(claims["cdnicrit"])
    for name in _NOT_KEPT:
        if name in claims:
            raise TokenRefused(Reason.UNSUPPORTED, f"claim {name}")
    for name in _NOT_KEPT_UNLESS_0:
        if claims.get(name, 0) != 0:
            raise TokenRefused(Reason.UNSUPPORTED, f"claim {name}")
    if "iss" in claims:
        check_issuer(claims["iss"], key.issuer)
    if "aud" in claims:
        check_audience(claims["aud"], audiences)
    return Grant(
        time_claim(claims["nbf"], "nbf") if "nbf" in claims else -math.inf,
        time_claim(claims["exp"], "exp") if "exp" in claims else math.inf,
        b"",
        (_read_container(claims.get("cdniuc")),),
    )


def _check_critical(critical: object) -> None:
    """RFC 9246, 2.1.9: claims, between commas, that a token may not be taken without understanding."""
    if not isinstance(critical, str) or not critical:
        raise _malformed("cdnicrit is no list of claims")
    unknown = [name for name in critical.split(",") if name not in _JUDGED]
    if unknown:
        raise TokenRefused(Reason.UNSUPPORTED, f"cdnicrit names {unknown[0][:40]!r}")


# --- the URI container ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Hashed:
    """`hash:` and the "URL segment" of RFC 6920, 5: one URI."""

    segment: bytes

    def refuses(self, asked: Asked) -> Reason | None:
        digest = base64.urlsafe_b64encode(hashlib.sha256(asked.uri).digest()).rstrip(b"=")
        return None if b"sha-256;" + digest == self.segment else Reason.WRONG_PATH


@dataclass(frozen=True, slots=True)
class _Matched:
    """`regex:` and a POSIX extended regular expression: all URIs that it matches from end to end."""

    pattern: Pattern

    def refuses(self, asked: Asked) -> Reason | None:
        return Reason.WRONG_PATH if self.pattern.fullmatch(asked.uri) is None else None


def _read_container(container: object) -> Rule:
    if not isinstance(container, str):
        # RFC 9246, 2.1.11: the one claim that every token has.
        raise _malformed("there is no cdniuc")
    form, _, rest = container.partition(":")
    if form == "hash":
        if not rest.startswith("sha-256;"):
            raise TokenRefused(Reason.UNSUPPORTED, f"cdniuc hashes by {rest[:40]!r}")
        return _Hashed(rest.encode(errors="replace"))
    if form != "regex":
        raise TokenRefused(Reason.UNSUPPORTED, f"cdniuc is of the form {form[:40]!r}")
    try:
        return _Matched(compile_pattern(rest))
    except PatternRefused as error:
        raise TokenRefused(Reason.UNSUPPORTED, f"cdniuc: {error}") from None


# --- bytes ------------------------------------------------------------------------------------------


def _read_json(part: bytes, what: str) -> dict[str, Any]:
    try:
        return _decode(_read_base64url(part, what))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(f"{what}: {error}") from None


def _read_base64url(part: bytes, what: str) -> bytes:
    try:
        return read_base64url(part)
    except ValueError:
        raise _malformed(f"{what}: no base64url") from None


def _malformed(detail: str) -> TokenRefused:
    return TokenRefused(Reason.MALFORMED, detail)
