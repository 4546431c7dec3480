"""Common Access Tokens: what is understood holds, what is not is refused, and no bytes do harm."""

import hashlib
import math
from typing import Any

import cbor2
import pytest
from appliance.tokens.minting import (
    AUD,
    CATM,
    CATREPLAY,
    CATU,
    CATV,
    CTI,
    CWT_TAG,
    ES256,
    EXP,
    HS256,
    IAT,
    ISS,
    ISSUER,
    MAC0_TAG,
    NBF,
    NOW,
    SIGN1_TAG,
    SUB,
    base64url,
    cat,
    hs256,
    key_set,
    message,
)
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.serving.tokens.cat import open_cat
from sluice_appliance.serving.tokens.claims import Asked, Grant, Reason, TokenRefused
from sluice_appliance.serving.tokens.keys import KeySet
from sluice_appliance.serving.tokens.uri import read_uri

KEYS = KeySet.from_bytes(key_set())
FILM = read_uri(b"https", b"B0173.v.example:8443", b"/big-buck-bunny/v1/video.720p.mp4?a=1")


def opened(token: bytes, audiences: frozenset[str] = frozenset()) -> Grant:
    return open_cat(token, KEYS, audiences)[0]


def refused(token: bytes, audiences: frozenset[str] = frozenset()) -> Reason:
    with pytest.raises(TokenRefused) as refusal:
        open_cat(token, KEYS, audiences)
    assert refusal.value.refusal.detail
    return refusal.value.refusal.reason


def allows(catu: dict[int, Any], asked: Asked = FILM) -> Reason | None:
    """The first reason against `asked`; None where all rules hold."""
    grant = opened(cat({CATU: catu}))
    if not asked.path.startswith(grant.path_prefix):
        return Reason.WRONG_PATH
    return next((reason for rule in grant.rules if (reason := rule.refuses(asked))), None)


@pytest.mark.parametrize("alg", [HS256, ES256])
@pytest.mark.parametrize("tagged", [True, False])
def test_a_token_of_either_algorithm_says_from_when_to_when(alg: int, tagged: bool) -> None:
    token = cat({ISS: ISSUER, NBF: NOW, EXP: NOW + 60.5, CATV: 1}, alg=alg, tagged=tagged)
    assert opened(token) == Grant(NOW, NOW + 60.5, b"", ())


def test_a_cose_tag_without_the_cwt_tag_is_taken_too() -> None:
    parts = message(cbor2.dumps({EXP: 10}))
    assert opened(base64url(cbor2.dumps(cbor2.CBORTag(MAC0_TAG, parts)))).until == 10


def test_a_token_without_times_holds_as_long_as_its_key() -> None:
    assert opened(cat({})) == Grant(-math.inf, math.inf, b"", ())


def test_claims_that_ask_nothing_are_taken() -> None:
    asks_nothing = {
        SUB: "viewer",
        IAT: NOW,
        CTI: b"\x01",
        CATREPLAY: 0,
        CATM: ["GET", "HEAD", "OPTIONS"],
    }
    assert opened(cat(asks_nothing)).rules == ()


# --- vectors of others ------------------------------------------------------------------------------

# RFC 8392, A.2.3 and A.3: the key and the signed CWT of the specification.
RFC8392_KEY = {
    "kid": "AsymmetricECDSA256",
    "kty": "EC",
    "alg": "ES256",
    "crv": "P-256",
    "iss": "coap://as.example.com",
    "x": base64url(
        bytes.fromhex("143329cce7868e416927599cf65a34f3ce2ffda55a7eca69ed8919a394d42f0f")
    ).decode(),
    "y": base64url(
        bytes.fromhex("60f7f1a780d8a783bfb7a2dd6b2796e8128dbbcef9d3d168db9529971a36e7b9")
    ).decode(),
}
RFC8392_SIGNED = bytes.fromhex(
    "d28443a10126a104524173796d6d657472696345434453413235365850a701756"
    "36f61703a2f2f61732e6578616d706c652e636f6d02656572696b77037818636f"
    "61703a2f2f6c696768742e6578616d706c652e636f6d041a5612aeb0051a5610d"
    "9f0061a5610d9f007420b7158405427c1ff28d23fbad1f29c4c7c6a555e601d6f"
    "a29f9179bc3d7438bacaca5acd08c8d4d4f96131680c429a01f85951ecee743a5"
    "2b9b63632c57209120e1c9e30"
)


def test_the_signed_token_of_rfc_8392_is_taken() -> None:
    keys = KeySet.from_bytes(key_set(RFC8392_KEY))
    grant, _ = open_cat(base64url(RFC8392_SIGNED), keys, frozenset(("coap://light.example.com",)))
    assert (grant.since, grant.until) == (1443944944, 1444064944)


# Made by the CAT library of another CDN; published with the tests of a third party's library.
OTHERS_SECRET = bytes.fromhex("403697de87af64611c1d32a05dab0fe1fcb715a86ab435f1ec99192d79569388")
OTHERS_TOKEN = (
    b"2D3RhEOhAQWhBFBha2FtYWlfa2V5X2hzMjU2WCijAXgYY29hcDovL2pvbmFzLmV4YW1wbGUuY29t"
    b"Bhpn1JipBRpn1JipWCCX4nQb8SYQoa0SFLxE2Rh35DdTjoA9TzOSy1IP9O1BGQ"
)


def test_a_token_that_another_cdn_made_is_taken() -> None:
    key = {
        "kid": "akamai_key_hs256",
        "kty": "oct",
        "alg": "HS256",
        "iss": "coap://jonas.example.com",
        "k": base64url(OTHERS_SECRET).decode(),
    }
    grant, _ = open_cat(OTHERS_TOKEN, KeySet.from_bytes(key_set(key)), frozenset())
    assert grant.since == 1741985961


# --- what is refused --------------------------------------------------------------------------------


def test_a_token_signed_by_another_secret_is_forged() -> None:
    parts = message(cbor2.dumps({EXP: NOW}))
    parts[3] = bytes(32)
    assert refused(base64url(cbor2.dumps(parts))) is Reason.FORGED


@pytest.mark.parametrize("alg", [HS256, ES256])
def test_a_changed_claim_is_a_forgery(alg: int) -> None:
    parts = message(cbor2.dumps({EXP: NOW}), alg=alg)
    parts[2] = cbor2.dumps({EXP: NOW + 1})
    assert refused(base64url(cbor2.dumps(parts))) is Reason.FORGED


@pytest.mark.parametrize("length", [0, 32, 63, 65])
def test_an_es256_signature_of_another_length_is_a_forgery(length: int) -> None:
    parts = message(cbor2.dumps({}), alg=ES256)
    parts[3] = bytes(length)
    assert refused(base64url(cbor2.dumps(parts))) is Reason.FORGED


def test_a_public_key_is_never_taken_for_a_secret() -> None:
    assert refused(cat({}, alg=HS256, kid=b"ec-1")) is Reason.FORGED


def test_a_key_signs_by_its_own_algorithm_whatever_the_token_names() -> None:
    """The signature fits, over bytes that name another algorithm: who checks by the key alone takes it."""
    payload, named = cbor2.dumps({}), cbor2.dumps({1: ES256})
    signature = hs256(cbor2.dumps(["Signature1", named, b"", payload]))
    token = cbor2.CBORTag(SIGN1_TAG, [named, {4: b"hm-1"}, payload, signature])
    assert refused(base64url(cbor2.dumps(token))) is Reason.FORGED


def test_a_token_names_a_key_that_is_known() -> None:
    assert refused(cat({}, kid=b"other")) is Reason.UNKNOWN_KEY
    assert refused(cat({}, unprotected={})) is Reason.UNKNOWN_KEY
    assert refused(cat({}, unprotected={4: "hm-1"})) is Reason.UNKNOWN_KEY


def test_a_header_parameter_that_must_be_understood_is_not() -> None:
    assert refused(cat({}, protected={1: HS256, 2: [99], 99: 1})) is Reason.UNSUPPORTED
    assert refused(cat({}, protected={1: 4})) is Reason.UNSUPPORTED


def test_a_header_parameter_stands_in_one_of_the_headers() -> None:
    assert refused(cat({}, protected={1: HS256, 4: b"hm-1"})) is Reason.MALFORMED


def test_the_tag_and_the_algorithm_say_the_same() -> None:
    parts = message(cbor2.dumps({}), alg=ES256)
    wrong = cbor2.CBORTag(CWT_TAG, cbor2.CBORTag(MAC0_TAG, parts))
    assert refused(base64url(cbor2.dumps(wrong))) is Reason.MALFORMED


@pytest.mark.parametrize(
    "claim", [8, 282, 309, 311, 314, 315, 316, 317, 318, 319, 320, 321, 322, 323, 324, 9999, "x"]
)
def test_a_claim_that_is_not_kept_here_is_refused(claim: int | str) -> None:
    assert refused(cat({claim: 1})) is Reason.UNSUPPORTED


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({ISS: "another"}, Reason.WRONG_ISSUER),
        ({ISS: 7}, Reason.WRONG_ISSUER),
        ({ISS: None}, Reason.WRONG_ISSUER),
        ({AUD: None}, Reason.WRONG_AUDIENCE),
        ({AUD: "another"}, Reason.WRONG_AUDIENCE),
        ({AUD: [1, "another"]}, Reason.WRONG_AUDIENCE),
        ({CATV: 2}, Reason.UNSUPPORTED),
        ({CATV: True}, Reason.UNSUPPORTED),
        ({CATREPLAY: 1}, Reason.UNSUPPORTED),
        ({CATREPLAY: 2}, Reason.UNSUPPORTED),
        ({CATM: ["GET"]}, Reason.UNSUPPORTED),
        ({CATM: "GET"}, Reason.UNSUPPORTED),
        ({EXP: "soon"}, Reason.MALFORMED),
        ({EXP: True}, Reason.MALFORMED),
        ({EXP: math.nan}, Reason.MALFORMED),
        ({EXP: math.inf}, Reason.MALFORMED),
        ({NBF: 2**60}, Reason.MALFORMED),
        ({CATU: 1}, Reason.MALFORMED),
        ({CATU: {3: 1}}, Reason.MALFORMED),
        ({CATU: {3: {1: 5}}}, Reason.MALFORMED),
        ({CATU: {3: {-1: "text"}}}, Reason.MALFORMED),
        ({CATU: {9: {0: "x"}}}, Reason.UNSUPPORTED),
        # What Python takes for 1, 4 and 0 is no such claim, component or comparison.
        ({True: "playback.example"}, Reason.MALFORMED),
        ({4.0: NOW + 60}, Reason.MALFORMED),
        ({CATU: {True: {0: "b0173.v.example"}}}, Reason.MALFORMED),
        ({CATU: {3: {False: "/film/v1/video.mp4"}}}, Reason.MALFORMED),
        ({CATU: {"path": {0: "x"}}}, Reason.UNSUPPORTED),
        ({CATU: {3: {-2: b"x"}}}, Reason.UNSUPPORTED),
        ({CATU: {3: {4: ["(", None]}}}, Reason.UNSUPPORTED),
        ({CATU: {3: {4: ["("]}}}, Reason.UNSUPPORTED),
        ({CATU: {3: {4: ["a" * 600]}}}, Reason.UNSUPPORTED),
    ],
)
def test_a_claim_that_cannot_be_kept_refuses_the_token(
    claims: dict[int, Any], reason: Reason
) -> None:
    assert refused(cat(claims)) is reason


def test_a_token_for_others_is_ours_when_we_go_by_that_name() -> None:
    assert opened(cat({AUD: ["another", "us"]}), frozenset(("us",))).rules == ()


# --- which URIs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "catu",
    [
        {0: {0: "HTTPS"}},
        {1: {0: "b0173.V.example", 1: "b0", 2: ".example", 3: "173"}},
        {2: {0: "8443"}},
        {3: {1: "/big-buck-bunny/", 3: "/v1/"}},
        {3: {4: ["/big-[a-z-]+/v[0-9]/.*[.]mp4"]}},
        {3: {-1: hashlib.sha256(FILM.path).digest()}},
        {4: {0: "a=1"}},
        {5: {0: "/big-buck-bunny/v1"}},
        {6: {0: "video.720p.mp4"}},
        {7: {0: "video"}},
        {8: {0: ".720p.mp4", 2: ".mp4"}},
    ],
)
def test_a_uri_that_is_as_the_token_says_is_allowed(catu: dict[int, Any]) -> None:
    assert allows(catu) is None


@pytest.mark.parametrize(
    ("catu", "reason"),
    [
        ({0: {0: "http"}}, Reason.WRONG_HOST),
        ({1: {0: "b0174.v.example"}}, Reason.WRONG_HOST),
        ({2: {0: "443"}}, Reason.WRONG_HOST),
        ({3: {1: "/sintel/"}}, Reason.WRONG_PATH),
        ({3: {1: "/big-buck-bunny/", 2: ".m3u8"}}, Reason.WRONG_PATH),
        ({3: {4: ["/v1/"]}}, Reason.WRONG_PATH),
        ({3: {-1: bytes(32)}}, Reason.WRONG_PATH),
        ({4: {0: ""}}, Reason.WRONG_PATH),
        ({5: {0: "/big-buck-bunny"}}, Reason.WRONG_PATH),
        ({6: {0: "video"}}, Reason.WRONG_PATH),
        ({7: {0: "video.720p"}}, Reason.WRONG_PATH),
        ({8: {0: ".mp4"}}, Reason.WRONG_PATH),
    ],
)
def test_any_component_that_differs_refuses_the_uri(catu: dict[int, Any], reason: Reason) -> None:
    assert allows(catu) is reason


# --- any bytes --------------------------------------------------------------------------------------

_ITEMS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats()
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.integers(0, 330), inner, max_size=5)
    ),
    max_leaves=12,
)


@given(st.binary(max_size=300))
def test_no_bytes_do_worse_than_be_refused(token: bytes) -> None:
    refused(token)
    refused(base64url(token))
    refused(base64url(b"\xd8\x3d\xd1" + token))


@given(_ITEMS)
def test_no_cbor_does_worse_than_be_refused(item: object) -> None:
    refused(base64url(cbor2.dumps(item)))
    refused(base64url(cbor2.dumps([b"\xa1\x01\x05", item, item, b""])))


@given(st.dictionaries(st.integers(0, 330), _ITEMS, max_size=4))
def test_no_claims_of_a_trusted_signer_do_worse_than_be_refused(claims: dict[int, Any]) -> None:
    try:
        grant = opened(cat(claims))
    except TokenRefused:
        return
    for rule in grant.rules:
        rule.refuses(FILM)


@pytest.mark.parametrize("tag", [2, 4, 5, 28, 30, 35, 36, 258])
def test_a_tag_that_the_library_would_act_on_is_refused_unread(tag: int) -> None:
    parts = [b"\xa1\x01\x05", {4: cbor2.CBORTag(tag, b"(a*)*")}, b"", b""]
    assert refused(base64url(cbor2.dumps(parts))) is Reason.MALFORMED


def test_deep_nesting_is_refused_before_it_is_followed() -> None:
    assert refused(base64url(b"\x81" * 3000)) is Reason.MALFORMED


def test_bytes_after_the_token_are_refused() -> None:
    assert refused(base64url(cbor2.dumps(message(b"\xa0")) + b"\x00")) is Reason.MALFORMED
