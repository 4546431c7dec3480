"""The token keys in force: only what is signed and not older, on disk for workers and for the next start."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest
from appliance.fill.signing import KEY, STRANGER, VERIFIER
from appliance.tokens.minting import CATU, ES256, EXP, ISS, ISSUER, NOW, PRIVATE_KEY, cat
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.protobuf.timestamp_pb2 import Timestamp

from sluice.tokens.v1 import tokens_pb2
from sluice_appliance.agent.key_set import PURPOSE
from sluice_appliance.agent.tally import AgentTally
from sluice_appliance.agent.token_keys import TokenKeysInForce
from sluice_appliance.metrics import supervisor_counters
from sluice_appliance.serving import tally
from sluice_appliance.serving.tokens.claims import Refusal
from sluice_appliance.serving.tokens.gate import Demand, Gate, Policy
from sluice_appliance.serving.tokens.key_file import load_keys
from sluice_runtime.counters import index_of
from sluice_runtime.signatures import key_id, sign


def public(key: ec.EllipticCurvePrivateKey = PRIVATE_KEY) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def signed(
    revision: int = 1, keys: Iterable[bytes] = (), *, by: Ed25519PrivateKey = KEY
) -> tokens_pb2.SignedTokenKeys:
    told = tokens_pb2.TokenKeySet(
        revision=revision,
        policy=tokens_pb2.TOKEN_POLICY_REQUIRED,
        issuer=ISSUER,
        keys=[
            tokens_pb2.TokenKey(
                key_id=f"ec-{number}", public_key=each, sign_time=Timestamp(seconds=int(NOW) - 60)
            )
            for number, each in enumerate(keys or [public()], start=1)
        ],
    )
    payload = told.SerializeToString()
    return tokens_pb2.SignedTokenKeys(
        payload=payload, signature=sign(by, PURPOSE, payload), key_id=key_id(by.public_key())
    )


class Box:
    """The two files of a box, and what it counted."""

    def __init__(self, folder: Path) -> None:
        self.signed = folder / "token-keys.signed"
        self.for_workers = folder / "token-keys.json"
        self.counters = supervisor_counters()
        self.in_force = self.started()

    def started(self) -> TokenKeysInForce:
        counts = AgentTally(self.counters)
        return TokenKeysInForce(self.signed, self.for_workers, verifier=VERIFIER, tally=counts)

    def take(self, keys: tokens_pb2.SignedTokenKeys) -> bool:
        return asyncio.run(self.in_force.take(keys))

    def counted(self, name: str, **labels: str) -> int:
        return self.counters.total(index_of(self.counters.specs, name, **labels))

    def refused(self, reason: str) -> int:
        return self.counted("sluice_appliance_token_key_sets_refused_total", reason=reason)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_workers_open_what_the_control_planes_key_signed(box: Box) -> None:
    assert box.take(signed())
    keys = load_keys(box.for_workers)
    assert (keys.required, keys.revision) == (True, 1)
    row = memoryview(bytearray(tally.CELLS * 8)).cast("Q")
    gate = Gate(keys, Policy(Demand.FLEET, b"http"), row)
    token = cat({ISS: ISSUER, EXP: NOW + 60, CATU: {3: {1: "/film/"}}}, alg=ES256)
    assert gate.judge(b"/;CAT=" + token + b"/film/v1/a", b"", NOW) == b"/film/v1/a"
    assert isinstance(gate.judge(b"/;CAT=" + token + b"/film/v1/a", b"", NOW - 600), Refusal)


def test_a_set_that_a_stranger_signed_moves_nothing(box: Box) -> None:
    assert box.take(signed(1))
    before = box.for_workers.read_bytes()
    assert box.take(signed(2, by=STRANGER))
    assert box.for_workers.read_bytes() == before
    assert (box.in_force.revision, box.refused("signature")) == (1, 1)


def test_an_older_set_is_refused_though_it_is_signed(box: Box) -> None:
    assert box.take(signed(5))
    assert box.take(signed(4))
    assert load_keys(box.for_workers).revision == 5
    assert box.refused("older") == 1


@pytest.mark.parametrize(
    "key", [b"", b"no key", public(ec.derive_private_key(7, ec.SECP384R1()))], ids=len
)
def test_a_set_with_a_key_that_cannot_be_used_is_refused_whole(box: Box, key: bytes) -> None:
    assert box.take(signed(1, [public(), key]))
    assert not box.for_workers.exists()
    assert box.refused("malformed") == 1


def test_a_start_without_the_control_plane_goes_by_what_was_signed_last(box: Box) -> None:
    box.take(signed(3))
    box.for_workers.write_bytes(b'{"keys":[],"required":false}')
    again = box.started()
    asyncio.run(again.load())
    assert again.revision == 3
    assert load_keys(box.for_workers).required


def test_a_signed_file_that_was_tampered_with_is_not_gone_by(box: Box) -> None:
    box.take(signed(3))
    box.for_workers.unlink()
    box.signed.write_bytes(signed(9, by=STRANGER).SerializeToString())
    again = box.started()
    asyncio.run(again.load())
    assert again.revision == 0
    assert not box.for_workers.exists()
    box.signed.write_bytes(b"\xff")
    asyncio.run(box.started().load())
    assert not box.for_workers.exists()


def test_a_disk_that_does_not_take_the_keys_is_asked_again(box: Box) -> None:
    box.for_workers.mkdir()
    assert not box.take(signed(2))
    assert box.in_force.revision == 0
    assert box.counted("sluice_appliance_token_key_sets_unkept_total") == 1
    box.for_workers.rmdir()
    assert box.take(signed(2))
    assert load_keys(box.for_workers).revision == 2
    assert box.counted("sluice_appliance_token_key_sets_total") == 1
