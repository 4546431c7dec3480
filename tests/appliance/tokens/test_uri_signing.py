"""URI Signing (RFC 9246): signed JWTs, their URI containers, and what is refused."""

import base64
import hashlib
import json
from typing import Any

import pytest
from appliance.tokens.minting import (
    EC_KEY,
    ISSUER,
    NOW,
    PRIVATE_KEY,
    SECRET,
    base64url,
    hs256,
    jwt,
    key_set,
)
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwk, jws

from sluice_appliance.serving.tokens.claims import Grant, Reason, TokenRefused
from sluice_appliance.serving.tokens.keys import KeySet
from sluice_appliance.serving.tokens.uri import find_token, read_uri
from sluice_appliance.serving.tokens.uri_signing import open_jwt

KEYS = KeySet.from_bytes(key_set())
ANY = "regex:.*"
# RFC 9246, 2.1.15: the expression of the specification's example.
EXAMPLE = r"regex:[^:]*\://[^/]*/folder/content/quality_[^/]*/segment.{3}\.mp4(\?.*)?"


def opened(token: bytes, audiences: frozenset[str] = frozenset()) -> Grant:
    return open_jwt(token, KEYS, audiences)[0]


def refused(token: bytes) -> Reason:
    with pytest.raises(TokenRefused) as refusal:
        opened(token)
    return refusal.value.refusal.reason


def allows(
    container: str, bare: bytes, host: bytes = b"cdn.example", scheme: bytes = b"http"
) -> bool:
    (rule,) = opened(jwt({"cdniuc": container})).rules
    return rule.refuses(read_uri(scheme, host, bare)) is None


def hash_of(uri: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(uri).digest()).rstrip(b"=")
    return f"hash:sha-256;{digest.decode()}"


@pytest.mark.parametrize("alg", ["ES256", "HS256"])
def test_a_token_that_another_library_signed_is_taken(alg: str) -> None:
    key: Any = jwk.ECKey.import_key({**EC_KEY, "d": base64url(_secret_number()).decode()})
    if alg == "HS256":
        key = jwk.OctKey.import_key(SECRET)
    header = {"alg": alg, "kid": "ec-1" if alg == "ES256" else "hm-1"}
    claims = {"iss": ISSUER, "exp": NOW + 60, "nbf": NOW, "cdniv": 1, "cdniuc": ANY}
    token = jws.serialize_compact(header, json.dumps(claims), key).encode()
    grant = opened(token)
    assert (grant.since, grant.until) == (NOW, NOW + 60)


def _secret_number() -> bytes:
    return PRIVATE_KEY.private_numbers().private_value.to_bytes(32)


# --- containers -------------------------------------------------------------------------------------


def test_the_expression_of_the_specification_matches_its_segments() -> None:
    assert allows(EXAMPLE, b"/folder/content/quality_low/segment001.mp4")
    assert allows(EXAMPLE, b"/folder/content/quality_low/segment001.mp4?x=1")
    assert not allows(EXAMPLE, b"/folder/content/quality_low/more/segment001.mp4")
    assert not allows(EXAMPLE, b"/folder/content/quality_low/segment001.mp4.exe")


def test_a_hash_is_of_one_uri_however_it_is_spelled() -> None:
    container = hash_of(b"http://cdn.example/film/a~b%2Fc")
    assert allows(container, b"/film/a~b%2Fc")
    assert allows(container, b"/film/%61%7eb%2fc", host=b"CDN.Example:80")
    assert not allows(container, b"/film/a~b/c")
    assert not allows(container, b"/film/a~b%2Fc", scheme=b"https")
    assert not allows(container, b"/film/a~b%2Fc", host=b"cdn.example:81")


def test_an_expression_that_is_slow_elsewhere_is_no_slower_here() -> None:
    assert not allows("regex:(a*)*b", b"/" + b"a" * 7000)


@pytest.mark.parametrize(
    ("target", "bare"),
    [
        (b"/f/a?URISigningPackage=T", b"/f/a"),
        (b"/f/a?x=1&URISigningPackage=T", b"/f/a?x=1"),
        (b"/f/a?URISigningPackage=T&x=1", b"/f/a?x=1"),
        (b"/f;URISigningPackage=T/a", b"/f/a"),
        (b"/f;URISigningPackage=T;v=1/a", b"/f;v=1/a"),
        (b"/;URISigningPackage=T/f/a", b"/f/a"),
        (b"/f/;URISigningPackage=T/a", b"/f/a"),
        (b"/f/;URISigningPackage=T", b"/f/"),
    ],
)
def test_a_token_is_taken_out_with_one_delimiter(target: bytes, bare: bytes) -> None:
    found = find_token(target)
    assert found is not None
    assert (found.token, found.bare) == (b"T", bare)


# --- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({}, Reason.MALFORMED),
        ({"cdniuc": 1}, Reason.MALFORMED),
        ({"cdniuc": "path:/film"}, Reason.UNSUPPORTED),
        ({"cdniuc": "hash:sha-512;abc"}, Reason.UNSUPPORTED),
        ({"cdniuc": "regex:("}, Reason.UNSUPPORTED),
        ({"cdniuc": r"regex:(a)\1"}, Reason.UNSUPPORTED),
        ({"cdniuc": "regex:" + "a" * 600}, Reason.UNSUPPORTED),
        ({"cdniuc": ANY, "jti": "once"}, Reason.UNSUPPORTED),
        ({"cdniuc": ANY, "cdniip": "192.0.2.1"}, Reason.UNSUPPORTED),
        ({"cdniuc": ANY, "cdniets": 30}, Reason.UNSUPPORTED),
        ({"cdniuc": ANY, "cdnistt": 1}, Reason.UNSUPPORTED),
        ({"cdniuc": ANY, "cdnistt": "1"}, Reason.UNSUPPORTED),
        ({"cdniuc": ANY, "cdnistd": 2}, Reason.UNSUPPORTED),
        ({"cdniuc": ANY, "cdniv": 2}, Reason.UNSUPPORTED),
        ({"cdniuc": ANY, "cdniv": True}, Reason.UNSUPPORTED),
        ({"cdniuc": ANY, "cdnicrit": "exp,unheard"}, Reason.UNSUPPORTED),
        ({"cdniuc": ANY, "cdnicrit": "jti"}, Reason.UNSUPPORTED),
        ({"cdniuc": ANY, "cdnicrit": ""}, Reason.MALFORMED),
        ({"cdniuc": ANY, "cdnicrit": ["exp"]}, Reason.MALFORMED),
        ({"cdniuc": ANY, "iss": "another"}, Reason.WRONG_ISSUER),
        ({"cdniuc": ANY, "aud": "another"}, Reason.WRONG_AUDIENCE),
        ({"cdniuc": ANY, "exp": "soon"}, Reason.MALFORMED),
        ({"cdniuc": ANY, "exp": 10**400}, Reason.MALFORMED),
        ({"cdniuc": ANY, "nbf": None}, Reason.MALFORMED),
        ({"cdniuc": ANY, "iss": None}, Reason.WRONG_ISSUER),
        ({"cdniuc": ANY, "aud": None}, Reason.WRONG_AUDIENCE),
        ({"cdniuc": ANY, "cdnicrit": None}, Reason.MALFORMED),
    ],
)
def test_a_claim_that_cannot_be_kept_refuses_the_token(
    claims: dict[str, Any], reason: Reason
) -> None:
    assert refused(jwt(claims)) is reason


def test_claims_that_nobody_must_understand_are_passed_over() -> None:
    claims = {"cdniuc": ANY, "cdnistt": 0, "cdnicrit": "exp,cdniuc", "sub": "x", "iat": 1, "new": 1}
    assert opened(jwt(claims)).rules


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"alg": "none", "kid": "hm-1"}, Reason.FORGED),
        ({"alg": "HS256", "kid": "ec-1"}, Reason.FORGED),
        ({"alg": "HS256"}, Reason.UNKNOWN_KEY),
        ({"alg": "HS256", "kid": 1}, Reason.UNKNOWN_KEY),
        ({"alg": "HS256", "kid": "other"}, Reason.UNKNOWN_KEY),
        ({"alg": "HS256", "kid": "hm-1", "crit": ["b64"], "b64": False}, Reason.UNSUPPORTED),
    ],
)
def test_the_header_cannot_choose_how_it_is_checked(header: dict[str, Any], reason: Reason) -> None:
    assert refused(jwt({"cdniuc": ANY}, header=header)) is reason


def test_a_changed_claim_is_a_forgery() -> None:
    head, _, signature = jwt({"cdniuc": ANY}).split(b".")
    assert (
        refused(b".".join((head, base64url(b'{"cdniuc":"regex:x"}'), signature))) is Reason.FORGED
    )


def _signed(claims: bytes) -> bytes:
    signed = base64url(b'{"alg":"HS256","kid":"hm-1"}') + b"." + base64url(claims)
    return signed + b"." + base64url(hs256(signed))


@pytest.mark.parametrize(
    "claims", [b"", b"[]", b"\xff", b"[" * 2000, b'{"cdniuc":"\xff"}', b"1e999"]
)
def test_claims_that_are_no_json_object_are_malformed(claims: bytes) -> None:
    assert refused(_signed(claims)) is Reason.MALFORMED


@given(st.binary(max_size=200))
def test_no_bytes_do_worse_than_be_refused(token: bytes) -> None:
    refused(token)
    refused(b".".join((base64url(token), token, token)))
    refused(_signed(token))


@given(
    st.dictionaries(
        st.sampled_from(["iss", "aud", "exp", "nbf", "cdniuc", "cdniv", "cdnicrit", "cdnistt"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("regex:.*"),
    )
)
def test_no_claims_of_a_trusted_signer_do_worse_than_be_refused(claims: dict[str, Any]) -> None:
    try:
        grant = opened(jwt(claims))
    except TokenRefused:
        return
    for rule in grant.rules:
        rule.refuses(read_uri(b"https", b"[::1]:8443", b"/film?x"))
