"""Which manifests are taken."""

from typing import Any
from zoneinfo import ZoneInfo

import pytest
from appliance.fill.signing import KEY, STRANGER, VERIFIER, message, signed
from hypothesis import given
from hypothesis import strategies as st

from sluice.fill.v1 import fill_pb2
from sluice_appliance.fill.manifest import Manifest, ManifestRefused, Refusal, open_manifest
from sluice_appliance.fill.policy import NO_LIMITS, FillPolicy, Priority
from sluice_appliance.fill.windows import FillWindow
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


def test_a_policy_is_read_with_its_windows_and_nothing_for_no_limit() -> None:
    bare = opened(signed(message(7, {"film": [b"abc"]})))
    assert bare.policy == NO_LIMITS
    assert (bare.titles[0].demand_bytes_per_s, bare.titles[0].priority) == (0, Priority.NORMAL)
    full = message(7, {"film": [b"abc"]})
    full.titles[0].demand_bytes_per_s = 1.5
    full.titles[0].priority = fill_pb2.FILL_PRIORITY_EMERGENCY
    full.policy.CopyFrom(
        fill_pb2.FillPolicy(
            windows=[
                fill_pb2.FillWindow(
                    start_minute=120,
                    duration_minutes=720,
                    weekdays=[6, 7],
                    time_zone="Europe/Madrid",
                ),
                fill_pb2.FillWindow(start_minute=0, duration_minutes=60),
            ],
            window_bytes_max=10,
            rate_bits_per_s_max=20,
            billed_percentile=95,
            drive_writes_per_day=0.3,
            stop_below_unit_roi=True,
        )
    )
    manifest = opened(signed(full))
    assert manifest.titles[0].demand_bytes_per_s == 1.5
    assert manifest.titles[0].priority is Priority.EMERGENCY
    assert manifest.policy == FillPolicy(
        (
            FillWindow(120, 720, frozenset({6, 7}), ZoneInfo("Europe/Madrid")),
            FillWindow(0, 60, zone=ZoneInfo("UTC")),
        ),
        10,
        20,
        95,
        0.3,
        stop_below_unit_roi=True,
    )


@pytest.mark.parametrize(
    ("said", "priority"),
    [
        (fill_pb2.FILL_PRIORITY_UNSPECIFIED, Priority.NORMAL),
        (fill_pb2.FILL_PRIORITY_NORMAL, Priority.NORMAL),
        (fill_pb2.FILL_PRIORITY_NEW_RELEASE, Priority.NEW_RELEASE),
        (fill_pb2.FILL_PRIORITY_EMERGENCY, Priority.EMERGENCY),
    ],
)
def test_a_titles_priority_is_read(
    said: fill_pb2.FillPriority.ValueType, priority: Priority
) -> None:
    urgent = message(7, {"film": [b"abc"]})
    urgent.titles[0].priority = said
    assert opened(signed(urgent)).titles[0].priority is priority


def test_a_priority_that_is_newer_than_this_box_is_as_normal() -> None:
    newer = message(7, {"film": [b"abc"]})
    newer.titles[0].MergeFromString(b"\x30\x63")
    assert opened(signed(newer)).titles[0].priority is Priority.NORMAL


@pytest.mark.parametrize(
    "wrong",
    [
        {"windows": [fill_pb2.FillWindow(start_minute=1440, duration_minutes=1)]},
        {"windows": [fill_pb2.FillWindow(start_minute=0, duration_minutes=0)]},
        {"windows": [fill_pb2.FillWindow(duration_minutes=1, weekdays=[8])]},
        {"windows": [fill_pb2.FillWindow(duration_minutes=1, time_zone="Mars/Olympus")]},
        {"windows": [fill_pb2.FillWindow(duration_minutes=1, time_zone="Europe")]},
        {"windows": [fill_pb2.FillWindow(duration_minutes=1, time_zone="../../etc/passwd")]},
        {"windows": [fill_pb2.FillWindow(duration_minutes=1, time_zone="x" * 5000)]},
        {"windows": [fill_pb2.FillWindow(duration_minutes=1)] * 65},
        {"window_bytes_max": -1},
        {"rate_bits_per_s_max": -1},
        {"billed_percentile": 101},
        {"drive_writes_per_day": float("nan")},
    ],
)
def test_a_manifest_with_an_impossible_policy_is_refused(wrong: dict[str, Any]) -> None:
    bad = message(7, {"film": [b"abc"]})
    bad.policy.CopyFrom(fill_pb2.FillPolicy(**wrong))
    assert refusal(signed(bad)) is Refusal.MALFORMED


@pytest.mark.parametrize("demand", [float("nan"), float("inf"), -0.5])
def test_a_manifest_with_a_demand_that_nobody_can_have_is_refused(demand: float) -> None:
    bad = message(7, {"film": [b"abc"]})
    bad.titles[0].demand_bytes_per_s = demand
    assert refusal(signed(bad)) is Refusal.MALFORMED


def test_a_long_name_of_a_time_zone_is_told_in_short() -> None:
    bad = message(7, {"film": [b"abc"]})
    bad.policy.windows.add(duration_minutes=1, time_zone="x" * 5000)
    with pytest.raises(ManifestRefused, match=r"'x{64}' is not known here"):
        opened(signed(bad))


@given(st.binary(max_size=200))
def test_signed_noise_is_refused_or_read_and_nothing_else(payload: bytes) -> None:
    manifest = signed(message(7, {}))
    manifest.payload = payload
    manifest.signature = sign(KEY, "sluice.fill.v1.FillManifest", payload)
    assert refusal(manifest) in {Refusal.MALFORMED, Refusal.OTHER_APPLIANCE}
