"""Shaka Packager: one self-contained fragmented MP4 for each rendition, HLS and DASH over the same.

One file for each rendition, however long the film: placement and fill count files, players ask for
byte ranges.
"""

import shutil
from pathlib import Path

from sluice_encoder import children, commands
from sluice_encoder.ladder import Ladder
from sluice_encoder.manifests import with_default_audio, with_stable_ids

MASTER = "master.m3u8"
DASH = "manifest.mpd"
PACKAGE_TIMEOUT_S = 3600.0


def package_command(
    ladder: Ladder, *, encoded: str, packaged: str, segment_seconds: float
) -> list[str]:
    """Names relative to the current folder: a comma in a path would end the packager's field."""
    streams = [
        f"in={encoded}/{rung.name}.mp4,stream=video,"
        f"output={packaged}/{rung.name}.mp4,playlist_name={rung.name}.m3u8"
        for rung in ladder.video
    ]
    if ladder.audio is not None:
        name, language = ladder.audio.name, ladder.audio.language
        streams.append(
            f"in={encoded}/{name}.mp4,stream=audio,output={packaged}/{name}.mp4,"
            f"playlist_name={name}.m3u8,hls_group_id=audio,hls_name={language or 'Main'}"
            + (f",language={language}" if language else "")
        )
    return [
        commands.packager_program(),
        *streams,
        "--quiet",
        "--use_fake_clock_for_muxer",
        *("--temp_dir", "."),
        *("--segment_duration", f"{segment_seconds:g}"),
        *("--fragment_duration", f"{segment_seconds:g}"),
        "--generate_static_live_mpd",
        *("--mpd_output", f"{packaged}/{DASH}"),
        *("--hls_master_playlist_output", f"{packaged}/{MASTER}"),
        *("--hls_playlist_type", "VOD"),
    ]


async def package(ladder: Ladder, job: Path, *, segment_seconds: float) -> Path:
    """Packages `job/encoded` into `job/packaged`, anew each time: it costs a second."""
    packaged = job / "packaged"
    shutil.rmtree(packaged, ignore_errors=True)
    packaged.mkdir()
    command = package_command(
        ladder, encoded="encoded", packaged="packaged", segment_seconds=segment_seconds
    )
    await children.run(command, cwd=job, timeout_s=PACKAGE_TIMEOUT_S)
    for name, corrected in ((DASH, with_stable_ids), (MASTER, with_default_audio)):
        manifest = packaged / name
        manifest.write_text(corrected(manifest.read_text()))
    return packaged
