"""Which manifests are taken."""

import pytest
from appliance.fill.signing import KEY, STRANGER, VERIFIER, message, signed
from hypothesis import given
from hypothesis import strategies as st

from sluice.fill.v1 import fill_pb2
from sluice_appliance.fill.manifest import Manifest, ManifestRefused, Refusal, open_manifest
from sluice_runtime.signatures import sign


def opened(manifest: fill_pb2.SignedManifest, *, held_revision: int = 0) -> Manifest:
    return open_manifest(
        manifest, verifier=VERIFIER, appliance="appliances/a-1", held_revision=held_revision
    )


def refusal(manifest: fill_pb2.SignedManifest, *, held_revision: int = 0) -> Refusal:
    with pytest.raises(ManifestRefused) as caught:
        opened(manifest, held_revision=held_revision)
    return caught.value.refusal


def test_a_signed_manifest_is_taken_with_its_titles_in_order() -> None:
    manifest = opened(signed(message(7, {"film": [b"abc", b""], "short": [b"x"]})))
    assert manifest.revision == 7
    assert [title.title for title in manifest.titles] == ["titles/film", "titles/short"]
    assert [part.size_bytes for part in manifest.titles[0].objects] == [3, 0]


def test_a_strangers_manifest_is_refused() -> None:
    assert refusal(signed(message(7, {}), key=STRANGER)) is Refusal.SIGNATURE


def test_a_manifest_changed_by_one_byte_is_refused() -> None:
    manifest = signed(message(7, {"film": [b"abc"]}))
    manifest.payload = manifest.payload[:-1] + b"\0"
    assert refusal(manifest) is Refusal.SIGNATURE


def test_what_was_signed_as_a_map_is_no_manifest() -> None:
    manifest = signed(message(7, {}))
    manifest.signature = sign(KEY, "sluice.steering.v1.SteeringMap", manifest.payload)
    assert refusal(manifest) is Refusal.SIGNATURE


def test_an_older_manifest_than_the_one_held_is_refused_and_the_same_one_is_not() -> None:
    assert refusal(signed(message(6, {})), held_revision=7) is Refusal.OLDER
    assert opened(signed(message(7, {})), held_revision=7).revision == 7


def test_another_appliances_manifest_is_refused() -> None:
    other = message(7, {})
    other.appliance = "appliances/a-2"
    assert refusal(signed(other)) is Refusal.OTHER_APPLIANCE


@pytest.mark.parametrize("damage", ["key", "digest", "size", "type", "twice"])
def test_a_manifest_that_names_an_impossible_object_is_refused(damage: str) -> None:
    bad = message(7, {"film": [b"abc"]})
    wanted = bad.titles[0].objects[0]
    match damage:
        case "key":
            wanted.key = "film/../../etc/passwd"
        case "digest":
            wanted.sha256 = b"short"
        case "size":
            wanted.size_bytes = -1
        case "type":
            wanted.content_type = "video/mp4\r\nSet-Cookie: x"
        case _:
            bad.titles[0].objects.append(wanted)
    assert refusal(signed(bad)) is Refusal.MALFORMED


@given(st.binary(max_size=200))
def test_signed_noise_is_refused_or_read_and_nothing_else(payload: bytes) -> None:
    manifest = signed(message(7, {}))
    manifest.payload = payload
    manifest.signature = sign(KEY, "sluice.fill.v1.FillManifest", payload)
    assert refusal(manifest) in {Refusal.MALFORMED, Refusal.OTHER_APPLIANCE}
