"""Common Access Tokens (CTA-5007-A): a CBOR map of claims in a COSE_Mac0 or COSE_Sign1.

The claims' numbers are those of IANA's registry of CWT claims. A token is refused for any claim that
is not understood here: who signed it meant that claim to hold. What is understood:

    iss exp nbf aud catv catu      judged
    catm                           taken where it allows both GET and HEAD
    catreplay 0                    taken: the token may be used again
    sub iat cti                    say who and when, and ask nothing

`catu` may name scheme, host, port, path, query, parent path, file name, stem and extension, each to be
exactly so, to begin, to end, to contain, to match a regular expression (RE2, whole), or to have a
SHA-256.
"""

import hashlib
import io
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import cbor2

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
from sluice_appliance.serving.tokens.keys import Algorithm, KeySet, TokenKey, read_base64url
from sluice_appliance.serving.tokens.patterns import Pattern, PatternRefused, compile_pattern

VERSION = 1
# The deepest is claims, catu, component, match: a regular expression in its array.
_DEPTH_MAX = 6

# RFC 8392, 6: the CWT tag, where there is one, stands before a COSE tag; both may be left out.
_CWT_TAG = b"\xd8\x3d"
_MAC0_TAG = b"\xd1"
_SIGN1_TAG = b"\xd2"
_PARTS = 4

# RFC 9052, 3.1: header parameters.
_ALG, _CRIT, _KID = 1, 2, 4
# RFC 9053, 2.1 and 3.1, and what the signed bytes begin with (RFC 9052, 4.4 and 6.3).
_ALGORITHMS = {5: (Algorithm.HS256, "MAC0"), -7: (Algorithm.ES256, "Signature1")}
_CONTEXT_OF_TAG = {_MAC0_TAG: "MAC0", _SIGN1_TAG: "Signature1"}

_ISS, _SUB, _AUD, _EXP, _NBF, _IAT, _CTI = 1, 2, 3, 4, 5, 6, 7
_CATREPLAY, _CATV, _CATU, _CATM = 308, 310, 312, 313
_UNDERSTOOD = frozenset((_ISS, _SUB, _AUD, _EXP, _NBF, _IAT, _CTI, _CATREPLAY, _CATV, _CATU, _CATM))
# Named in the log, so that who signs knows what to leave out.
_NOT_UNDERSTOOD = {
    8: "cnf",
    282: "geohash",
    309: "catpor",
    311: "catnip",
    314: "catalpn",
    315: "cath",
    316: "catgeoiso3166",
    317: "catgeocoord",
    318: "catgeoalt",
    319: "cattpk",
    320: "catifdata",
    321: "catdpop",
    322: "catif",
    323: "catr",
    324: "cattprint",
}
_REPLAY_PERMITTED = 0


class _Envelope(NamedTuple):
    """A COSE message, read and not yet believed."""

    algorithm: Algorithm
    key_id: bytes
    signed: bytes
    signature: bytes
    payload: bytes


def open_cat(token: bytes, keys: KeySet, audiences: frozenset[str]) -> tuple[Grant, TokenKey]:
    """What a token (base64url) grants, and the key that signed it. Raises TokenRefused."""
    envelope = _read_envelope(token)
    key = keys.find(envelope.key_id)
    if key is None:
        said = envelope.key_id[:40].decode(errors="replace")
        raise TokenRefused(Reason.UNKNOWN_KEY, f"there is no key {said!r}")
    if key.algorithm is not envelope.algorithm:
        raise TokenRefused(
            Reason.FORGED, f"signed by {envelope.algorithm.value}, its key by {key.algorithm.value}"
        )
    if not key.signed(envelope.signed, envelope.signature):
        raise TokenRefused(Reason.FORGED, "the signature does not fit")
    return _read_claims(_map(_read_cbor(envelope.payload), "the claims"), key, audiences), key


# --- the envelope -----------------------------------------------------------------------------------


def _read_envelope(token: bytes) -> _Envelope:
    try:
        message = read_base64url(token)
    except ValueError:
        raise _malformed("the token is no base64url") from None
    message = message.removeprefix(_CWT_TAG)
    tagged = _CONTEXT_OF_TAG.get(message[:1])
    parts = _read_cbor(message[1:] if tagged else message)
    if not isinstance(parts, list) or len(parts) != _PARTS:
        raise _malformed("the token is no COSE message of four parts")
    protected, unprotected, payload, signature = parts
    if not (
        isinstance(protected, bytes) and isinstance(payload, bytes) and isinstance(signature, bytes)
    ):
        raise _malformed("the parts of the COSE message are of other types")
    named = _map(_read_cbor(protected), "the protected header") if protected else {}
    loose = _map(unprotected, "the unprotected header")
    if named.keys() & loose.keys():
        # RFC 9052, 3: a label occurs once in both maps together.
        raise _malformed("a header parameter is both protected and not")
    algorithm, context = _algorithm(named.get(_ALG))
    if tagged not in (None, context):
        raise _malformed("the algorithm is not of the kind that the tag says")
    key_id = named.get(_KID, loose.get(_KID))
    if not isinstance(key_id, bytes):
        raise TokenRefused(Reason.UNKNOWN_KEY, "the token names no key")
    if _CRIT in named:
        # It lists parameters beyond those of RFC 9052, and none of those is known here.
        raise TokenRefused(Reason.UNSUPPORTED, f"crit is {str(named[_CRIT])[:40]}")
    signed = cbor2.dumps([context, protected, b"", payload])
    return _Envelope(algorithm, key_id, signed, signature, payload)


def _algorithm(alg: object) -> tuple[Algorithm, str]:
    known = _ALGORITHMS.get(alg) if isinstance(alg, int) else None
    if known is None:
        raise TokenRefused(
            Reason.UNSUPPORTED, f"alg is {str(alg)[:40]}, expected 5 (HMAC 256/256) or -7 (ES256)"
        )
    return known


class _NoTags(Mapping[int, Callable[..., Any]]):
    """Refuses every tag, before the library makes an expression, a fraction or a date of it."""

    def __getitem__(self, tag: int) -> Callable[..., Any]:
        return _refuse_tag

    def __iter__(self) -> Iterator[int]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _refuse_tag(*_: object) -> NoReturn:
    raise ValueError("a tag where none belongs")


_NO_TAGS = _NoTags()


def _read_cbor(encoded: bytes) -> object:
    """One item of CBOR, and nothing after it. Raises TokenRefused."""
    stream = io.BytesIO(encoded)
    try:
        item: object = cbor2.load(
            stream,
            semantic_decoders=_NO_TAGS,
            max_depth=_DEPTH_MAX,
            allow_indefinite=False,
            allow_duplicate_keys=False,
        )
    except (cbor2.CBORDecodeError, ValueError, TypeError, OverflowError) as error:
        raise _malformed(f"no CBOR: {error}") from None
    if stream.read(1):
        raise _malformed("something follows the CBOR")
    return item


def _map(item: object, what: str) -> Mapping[object, object]:
    if not isinstance(item, dict):
        raise _malformed(f"{what} is no map")
    if any(isinstance(key, bool | float) for key in item):
        # To Python true is 1 and 4.0 is 4; to CBOR they are other keys, and no claims that anybody knows.
        raise _malformed(f"{what} has a key that is no whole number")
    return item


def _malformed(detail: str) -> TokenRefused:
    return TokenRefused(Reason.MALFORMED, detail)


# --- the claims -------------------------------------------------------------------------------------


def _read_claims(
    claims: Mapping[object, object], key: TokenKey, audiences: frozenset[str]
) -> Grant:
    for claim in claims:
        if claim not in _UNDERSTOOD:
            known = _NOT_UNDERSTOOD.get(claim) if isinstance(claim, int) else None
            raise TokenRefused(Reason.UNSUPPORTED, f"claim {known or str(claim)[:40]}")
    if _ISS in claims:
        check_issuer(claims[_ISS], key.issuer)
    if _AUD in claims:
        check_audience(claims[_AUD], audiences)
    _check_version(claims.get(_CATV, VERSION))
    _check_replay(claims.get(_CATREPLAY, _REPLAY_PERMITTED))
    if _CATM in claims:
        _check_methods(claims[_CATM])
    prefix, rules = _read_catu(_map(claims[_CATU], "catu")) if _CATU in claims else (b"", ())
    return Grant(
        time_claim(claims[_NBF], "nbf") if _NBF in claims else -math.inf,
        time_claim(claims[_EXP], "exp") if _EXP in claims else math.inf,
        prefix,
        rules,
    )


def _check_version(version: object) -> None:
    if isinstance(version, bool) or version != VERSION:
        raise TokenRefused(Reason.UNSUPPORTED, f"catv is {str(version)[:40]}, expected {VERSION}")


def _check_replay(replay: object) -> None:
    if isinstance(replay, bool) or replay != _REPLAY_PERMITTED:
        raise TokenRefused(
            Reason.UNSUPPORTED, f"catreplay is {str(replay)[:40]}; no replay is looked for here"
        )


def _check_methods(methods: object) -> None:
    # Nothing else is served, so a list with both of them asks nothing.
    if not isinstance(methods, list) or not {"GET", "HEAD"} <= {str(each) for each in methods}:
        raise TokenRefused(Reason.UNSUPPORTED, f"catm is {str(methods)[:80]}, without GET and HEAD")


# --- catu -------------------------------------------------------------------------------------------

_PATH = 3


def _file_name(asked: Asked) -> bytes:
    return asked.path.rpartition(b"/")[2]


def _stem(asked: Asked) -> bytes:
    name = _file_name(asked)
    return name[: len(name) - len(_extension(asked))]


def _extension(asked: Asked) -> bytes:
    """With its dot, from the first one of the file's name."""
    _, dot, rest = _file_name(asked).partition(b".")
    return dot + rest


_COMPONENTS: dict[int, tuple[str, Callable[[Asked], bytes], Reason]] = {
    0: ("scheme", lambda asked: asked.scheme, Reason.WRONG_HOST),
    1: ("host", lambda asked: asked.host, Reason.WRONG_HOST),
    2: ("port", lambda asked: asked.port, Reason.WRONG_HOST),
    _PATH: ("path", lambda asked: asked.path, Reason.WRONG_PATH),
    4: ("query", lambda asked: asked.query, Reason.WRONG_PATH),
    5: ("parent path", lambda asked: asked.path.rpartition(b"/")[0], Reason.WRONG_PATH),
    6: ("file name", _file_name, Reason.WRONG_PATH),
    7: ("stem", _stem, Reason.WRONG_PATH),
    8: ("extension", _extension, Reason.WRONG_PATH),
}
_EXACT, _PREFIX, _SUFFIX, _CONTAINS, _REGEX, _SHA256 = 0, 1, 2, 3, 4, -1
_TESTS: dict[int, Callable[[bytes, bytes], bool]] = {
    _EXACT: lambda value, wanted: value == wanted,
    _PREFIX: bytes.startswith,
    _SUFFIX: bytes.endswith,
    _CONTAINS: bytes.__contains__,
    _SHA256: lambda value, wanted: hashlib.sha256(value).digest() == wanted,
}


@dataclass(frozen=True, slots=True)
class _Match:
    """One component of the URI, compared."""

    component: Callable[[Asked], bytes]
    passes: Callable[[bytes, bytes], bool]
    wanted: bytes
    reason: Reason

    def refuses(self, asked: Asked) -> Reason | None:
        return None if self.passes(self.component(asked), self.wanted) else self.reason


@dataclass(frozen=True, slots=True)
class _PatternMatch:
    """One component of the URI, all of it matched by an expression."""

    component: Callable[[Asked], bytes]
    pattern: Pattern
    reason: Reason

    def refuses(self, asked: Asked) -> Reason | None:
        return self.reason if self.pattern.fullmatch(self.component(asked)) is None else None


def _read_catu(catu: Mapping[object, object]) -> tuple[bytes, tuple[Rule, ...]]:
    """What the path begins with, and every other thing that is asked: all must hold."""
    prefix, rules = b"", list[Rule]()
    for component, matches in catu.items():
        if not isinstance(component, int) or component not in _COMPONENTS:
            raise TokenRefused(Reason.UNSUPPORTED, f"catu has component {str(component)[:40]}")
        for kind, wanted in _map(matches, "a component of catu").items():
            if (component, kind) == (_PATH, _PREFIX) and isinstance(wanted, str):
                prefix = wanted.encode()
            else:
                rules.append(_read_match(component, kind, wanted))
    return prefix, tuple(rules)


def _read_match(component: int, kind: object, wanted: object) -> Rule:
    name, part, reason = _COMPONENTS[component]
    if kind == _REGEX:
        return _PatternMatch(part, _read_regex(name, wanted), reason)
    passes = _TESTS.get(kind) if isinstance(kind, int) else None
    if passes is None:
        raise TokenRefused(Reason.UNSUPPORTED, f"catu compares the {name} by {str(kind)[:40]}")
    if kind == _SHA256:
        if not isinstance(wanted, bytes):
            raise _malformed(f"catu: the SHA-256 of the {name} is no byte string")
        return _Match(part, passes, wanted, reason)
    if not isinstance(wanted, str):
        raise _malformed(f"catu: the {name} is compared with no text")
    if reason is Reason.WRONG_HOST:
        # RFC 3986, 6.2.2.1: scheme and host are the same in either case.
        wanted = wanted.lower()
    return _Match(part, passes, wanted.encode(), reason)


def _read_regex(name: str, wanted: object) -> Pattern:
    # An array: the expression, then what its groups must be; groups are not looked at here.
    match wanted:
        case [str(text)]:
            pass
        case _:
            raise TokenRefused(
                Reason.UNSUPPORTED, f"catu: the {name} has an expression with groups"
            )
    try:
        return compile_pattern(text)
    except PatternRefused as error:
        raise TokenRefused(Reason.UNSUPPORTED, f"catu: the {name}: {error}") from None
