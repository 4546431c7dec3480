"""What a source file is, from what ffprobe says of it: bounded, checked, or refused with a reason."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sluice_encoder.errors import SourceRefused

# Beyond these a header is more likely broken or hostile than a film.
SIDE_PIXELS_MAX = 8192
SIDE_PIXELS_MIN = 16
DURATION_S_MAX = 24 * 3600.0
STREAMS_MAX = 64
FRAME_RATE_MAX = 300
# What the packager is told; it refuses a tag that it does not know, and a tag is a stranger's text.
_LANGUAGES: dict[str, str] = dict(
    re.findall(
        r"(\w{3}):(\w\w)",
        "ara:ar chi:zh zho:zh cze:cs ces:cs dan:da dut:nl nld:nl eng:en fin:fi fre:fr fra:fr "
        "ger:de deu:de gre:el ell:el heb:he hin:hi hun:hu ind:id ita:it jpn:ja kor:ko nor:no "
        "pol:pl por:pt rum:ro ron:ro rus:ru spa:es swe:sv tha:th tur:tr ukr:uk vie:vi ",
    )
)
_INTERLACED = ("tt", "bb", "tb", "bt")


@dataclass(frozen=True, slots=True)
class AudioFacts:
    index: int
    channels: int
    # BCP 47, or empty.
    language: str


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """A film as it is seen: after rotation, with square pixels."""

    video_index: int
    width: int
    height: int
    frame_rate: Fraction
    duration_s: float
    interlaced: bool
    audio: AudioFacts | None


def source_facts(probed: Mapping[str, Any]) -> SourceFacts:
    """Reads ffprobe's JSON (`-show_format -show_streams`). Raises SourceRefused."""
    streams: list[Mapping[str, Any]] = list(probed.get("streams", []))
    if len(streams) > STREAMS_MAX:
        raise SourceRefused(f"{len(streams)} streams, expected at most {STREAMS_MAX}")
    videos = [stream for stream in streams if _is_film(stream)]
    if not videos:
        kinds = ", ".join(sorted({str(stream.get("codec_type")) for stream in streams})) or "none"
        raise SourceRefused(f"no video stream (streams: {kinds})")
    video = videos[0]
    width, height = _display_size(video)
    return SourceFacts(
        video_index=int(video["index"]),
        width=width,
        height=height,
        frame_rate=_frame_rate(video),
        duration_s=_duration_s(probed.get("format", {}), video),
        interlaced=video.get("field_order") in _INTERLACED,
        audio=_audio(streams),
    )


def _is_film(stream: Mapping[str, Any]) -> bool:
    cover = stream.get("disposition", {}).get("attached_pic", 0)
    return stream.get("codec_type") == "video" and not cover


def _display_size(video: Mapping[str, Any]) -> tuple[int, int]:
    width, height = int(video.get("width", 0)), int(video.get("height", 0))
    for side in (width, height):
        if not SIDE_PIXELS_MIN <= side <= SIDE_PIXELS_MAX:
            raise SourceRefused(
                f"the picture is {width}x{height}, "
                f"expected sides of {SIDE_PIXELS_MIN}..{SIDE_PIXELS_MAX} pixels"
            )
    shape = _fraction(str(video.get("sample_aspect_ratio", "1:1")).replace(":", "/"))
    if shape is not None and Fraction(1, 8) <= shape <= 8:
        width = max(SIDE_PIXELS_MIN, round(width * shape))
    turned = any(
        abs(int(float(side.get("rotation", 0)))) % 180 == 90
        for side in video.get("side_data_list", [])
    )
    return (height, width) if turned else (width, height)


def _frame_rate(video: Mapping[str, Any]) -> Fraction:
    for name in ("avg_frame_rate", "r_frame_rate"):
        rate = _fraction(str(video.get(name, "")))
        if rate is not None and rate <= FRAME_RATE_MAX:
            return rate
    raise SourceRefused("the video has no frame rate: one picture, or a broken header")


def _duration_s(container: Mapping[str, Any], video: Mapping[str, Any]) -> float:
    text = video.get("duration") or container.get("duration")
    try:
        duration_s = float(text or "nan")
    except ValueError:
        duration_s = math.nan
    if not 0 < duration_s <= DURATION_S_MAX:
        raise SourceRefused(
            f"the duration is {text or 'unknown'}, expected 0..{DURATION_S_MAX:g} s"
        )
    return duration_s


def _audio(streams: list[Mapping[str, Any]]) -> AudioFacts | None:
    for stream in streams:
        if stream.get("codec_type") == "audio" and int(stream.get("channels", 0)) > 0:
            language = str(stream.get("tags", {}).get("language", ""))
            language = _LANGUAGES.get(language, language)
            known = language if language in _LANGUAGES.values() else ""
            return AudioFacts(int(stream["index"]), int(stream["channels"]), known)
    return None


def _fraction(text: str) -> Fraction | None:
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        return None
    return value if value > 0 else None
