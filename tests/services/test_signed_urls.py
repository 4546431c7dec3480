"""Playback URLs with access tokens: for one title, until they expire, by the key whose time has come."""

import base64
import stat
import time
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.protobuf.timestamp_pb2 import Timestamp
from services.gateway_process import Gateway, running, until
from services.scripted_control_plane import ScriptedControlPlane

from sluice.tokens.v1 import tokens_pb2
from sluice_services.playback.tokens import SigningKeysUnusable, read_signing_keys

TITLE = "big-buck-bunny"
KEY = ec.derive_private_key(0x5EED, ec.SECP256R1())
NEXT = ec.derive_private_key(0xFEED, ec.SECP256R1())


def message(
    *keys: tuple[str, ec.EllipticCurvePrivateKey, float],
    policy: tokens_pb2.TokenPolicy.ValueType = tokens_pb2.TOKEN_POLICY_REQUIRED,
    revision: int = 1,
) -> tokens_pb2.WatchSigningKeysResponse:
    return tokens_pb2.WatchSigningKeysResponse(
        revision=revision,
        policy=policy,
        issuer="v.sluice.test",
        keys=[
            tokens_pb2.SigningKey(
                key_id=key_id,
                private_key=key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
                sign_time=Timestamp(seconds=int(sign_time)),
            )
            for key_id, key, sign_time in keys
        ],
    )


def heard(gateway: Gateway, revision: int = 1) -> None:
    until(
        "the keys are heard",
        lambda: gateway.health()["signing_keys"].get("revision") == revision,
        gateway,
    )


def opened(url: str, key: ec.EllipticCurvePrivateKey = KEY) -> tuple[str, str, Any]:
    """Key id, path and claims of a URL whose token `key` signed."""
    path = urlsplit(url).path
    segment, _, rest = path.removeprefix("/").partition("/")
    token = segment.removeprefix(";CAT=")
    cwt = cbor2.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    assert (cwt.tag, cwt.value.tag) == (61, 18)
    protected, unprotected, payload, signature = cwt.value.value
    signed = cbor2.dumps(["Signature1", protected, b"", payload])
    der = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
    key.public_key().verify(der, signed, ec.ECDSA(SHA256()))
    return unprotected[4].decode(), "/" + rest, cbor2.loads(payload)


def test_every_url_of_a_playback_has_a_token_for_its_title_until_it_expires(
    control_plane: ScriptedControlPlane, gateway: Gateway
) -> None:
    control_plane.say_signing_keys(message(("first", KEY, 0)))
    heard(gateway)
    playback = gateway.playback(title=TITLE, resolve=True).json
    urls = [playback["integrity"]["url"], playback["dash_url"]]
    urls += [way["hls_url"] for way in playback["pathways"]]
    assert len(urls) > 3
    for url in urls:
        key_id, path, claims = opened(url)
        assert (key_id, claims[1], claims[310]) == ("first", "v.sluice.test", 1)
        (prefix,) = claims[312][3].values()
        assert claims[312] == {3: {1: f"/{TITLE}/v1/"}}
        assert path.startswith(prefix)
        assert claims[4] == datetime.fromisoformat(playback["expires_at"]).timestamp()
    assert gateway.counter("sluice_gateway_tokens_signed_total") == 1


def test_urls_have_no_token_while_the_operator_wants_none(
    control_plane: ScriptedControlPlane, gateway: Gateway
) -> None:
    off = message(("first", KEY, 0), policy=tokens_pb2.TOKEN_POLICY_OFF)
    control_plane.say_signing_keys(off)
    heard(gateway)
    assert ";CAT=" not in gateway.playback(title=TITLE).json["dash_url"]
    signed = message(("first", KEY, 0), policy=tokens_pb2.TOKEN_POLICY_SIGNED, revision=2)
    control_plane.say_signing_keys(signed)
    heard(gateway, 2)
    assert ";CAT=" in gateway.playback(title=TITLE).json["dash_url"]


def test_a_gateway_that_starts_without_the_control_plane_signs_on_and_guards_its_keys(
    control_plane: ScriptedControlPlane, config: Path
) -> None:
    with running(config) as gateway:
        gateway.until_healthy()
        control_plane.say_signing_keys(message(("first", KEY, 0)))
        heard(gateway)
        (kept,) = until(
            "the keys are kept", lambda: list(config.parent.glob("**/signing-keys")), gateway
        )
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    control_plane.stop()
    with running(config) as gateway:
        assert opened(gateway.playback(title=TITLE).json["dash_url"])[0] == "first"


def test_the_key_whose_time_has_come_signs(
    control_plane: ScriptedControlPlane, gateway: Gateway
) -> None:
    now = time.time()
    keys = message(("next", NEXT, now - 5), ("later", KEY, now + 3600), ("first", KEY, now - 60))
    control_plane.say_signing_keys(keys)
    heard(gateway)
    assert opened(gateway.playback(title=TITLE).json["dash_url"], NEXT)[0] == "next"


def test_keys_change_hands_without_being_told_again() -> None:
    keys = read_signing_keys(message(("first", KEY, 100), ("next", NEXT, 200)))
    assert [keys.key_at(at).key_id for at in (0, 100, 199, 200, 900)] == [
        "first",
        "first",
        "first",
        "next",
        "next",
    ]


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [tokens_pb2.SigningKey(key_id="x", private_key=b"no key")],
        list(message(("x", ec.derive_private_key(7, ec.SECP384R1()), 0)).keys),
    ],
    ids=["none", "no key", "another curve"],
)
def test_keys_that_cannot_sign_are_refused(keys: list[tokens_pb2.SigningKey]) -> None:
    with pytest.raises(SigningKeysUnusable):
        read_signing_keys(tokens_pb2.WatchSigningKeysResponse(revision=1, keys=keys))
