"""Key sets: a JSON Web Key Set is read whole or refused with a reason, and a file says when it changed."""

import json
from pathlib import Path
from typing import Any

import pytest
from appliance.tokens.minting import EC_KEY, NOW, SECRET_KEY, key_set
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.serving.tokens.key_file import KeyFile, load_keys
from sluice_appliance.serving.tokens.keys import KEYS_MAX, KeySet, KeysRefused


def refused(content: bytes) -> str:
    with pytest.raises(KeysRefused) as refusal:
        KeySet.from_bytes(content)
    return str(refusal.value)


def test_a_key_set_says_whether_tokens_are_required_and_which_it_is() -> None:
    keys = KeySet.from_bytes(key_set(revision=7))
    assert (keys.required, keys.revision, len(keys)) == (True, 7, 2)
    plain = KeySet.from_bytes(json.dumps({"keys": [EC_KEY]}).encode())
    assert (plain.required, plain.revision) == (False, 0)


def test_a_key_holds_from_its_beginning_to_its_end() -> None:
    key = KeySet.from_bytes(key_set({**EC_KEY, "nbf": NOW, "exp": NOW + 1})).find(b"ec-1")
    assert key is not None
    assert (key.not_before, key.not_after) == (NOW, NOW + 1)


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ({**EC_KEY, "crv": "P-384"}, "P-384"),
        ({**EC_KEY, "alg": "HS256"}, "expected EC and ES256"),
        ({**SECRET_KEY, "alg": "ES256"}, "expected EC and ES256"),
        ({**SECRET_KEY, "alg": "none"}, "expected EC and ES256"),
        ({**EC_KEY, "x": EC_KEY["y"]}, "no point"),
        ({**EC_KEY, "x": "AAAA"}, "32 bytes each"),
        ({**SECRET_KEY, "k": "AAAA"}, "3 bytes, expected 32"),
        ({**SECRET_KEY, "k": "!"}, "no base64url"),
        ({"kid": "x"}, "kty"),
    ],
)
def test_a_key_that_cannot_be_used_refuses_the_set_by_name(key: dict[str, Any], says: str) -> None:
    assert says in refused(key_set(key))


def test_two_keys_of_one_name_are_refused() -> None:
    assert "two keys" in refused(key_set(EC_KEY, {**SECRET_KEY, "kid": "ec-1"}))


def test_more_keys_than_a_fleet_rotates_are_refused() -> None:
    many = [{**SECRET_KEY, "kid": str(number)} for number in range(KEYS_MAX + 1)]
    assert "at most" in refused(key_set(*many))


@given(st.binary(max_size=200))
def test_no_bytes_do_worse_than_be_refused(content: bytes) -> None:
    refused(content)


def test_a_file_that_is_absent_or_odd_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with pytest.raises(KeysRefused, match=r"keys\.json: No such file"):
        load_keys(path)
    path.write_bytes(b"{")
    with pytest.raises(KeysRefused, match=r"keys\.json: not a JSON Web Key Set"):
        load_keys(path)


def test_a_file_is_read_again_when_another_has_taken_its_place(tmp_path: Path) -> None:
    path, other = tmp_path / "keys.json", tmp_path / "other"
    file = KeyFile(path)
    assert not file.changed()
    path.write_bytes(key_set(revision=1))
    assert file.changed()
    assert file.load().revision == 1
    assert not file.changed()
    other.write_bytes(key_set(revision=2))
    other.replace(path)
    assert file.changed()
    assert file.load().revision == 2
    path.unlink()
    assert not file.changed()
