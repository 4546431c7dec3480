"""Which renditions a film becomes: sizes, rates and the key frame grid that all of them share."""

import math
from dataclasses import dataclass
from fractions import Fraction

from sluice_encoder.source import SourceFacts

# What a film is normalised to; a variable rate becomes the nearest of these.
FRAME_RATES = (
    *(Fraction(rate) for rate in (5, 10, 12, 15, 20, 24, 25, 30, 50, 60)),
    *(Fraction(rate * 1000, 1001) for rate in (24, 30, 60)),
)
_HD_PIXELS = 1920 * 1080
# A rung nearer than this to the one above it costs disk and shows nothing.
_STEP_MIN = 0.9
_RATE_KBPS_MIN = 120
_SIDE_MIN = 16


@dataclass(frozen=True, slots=True)
class VideoRung:
    """One video rendition; `name` is also its file's."""

    name: str
    width: int
    height: int
    peak_kbps: int


@dataclass(frozen=True, slots=True)
class AudioRung:
    name: str
    kbps: int
    source_index: int
    language: str


@dataclass(frozen=True, slots=True)
class Ladder:
    """Everything that the encode makes, best rung first."""

    video: tuple[VideoRung, ...]
    audio: AudioRung | None
    frame_rate: Fraction
    # Frames from key frame to key frame: at least `segment_seconds` long, so that no segment is
    # without one whatever the rate.
    gop_frames: int


@dataclass(frozen=True, slots=True)
class LadderPolicy:
    heights: tuple[int, ...]
    rungs_max: int
    segment_seconds: float
    top_kbps: int
    audio_kbps: int


def plan_ladder(source: SourceFacts, policy: LadderPolicy) -> Ladder:
    """The source's own size (within the largest height), then smaller ones down the list."""
    rate = min(FRAME_RATES, key=lambda standard: abs(standard - source.frame_rate))
    top = _fit(source, policy.heights[0])
    sizes = [top]
    for height in policy.heights:
        size = _fit(source, height)
        if min(size) <= _STEP_MIN * min(sizes[-1]) and min(size) >= _SIDE_MIN:
            sizes.append(size)
    rungs = tuple(
        VideoRung(f"h264-{min(size)}p", *size, _peak_kbps(size, rate, policy.top_kbps))
        for size in sizes[: policy.rungs_max]
    )
    audio = None
    if source.audio is not None:
        name = f"aac-{policy.audio_kbps}k"
        audio = AudioRung(name, policy.audio_kbps, source.audio.index, source.audio.language)
    gop = math.ceil(Fraction(policy.segment_seconds).limit_denominator(1000) * rate)
    return Ladder(rungs, audio, rate, gop)


def _fit(source: SourceFacts, height: int) -> tuple[int, int]:
    """The largest even size in a 16:9 box of that height (turned for upright films), never larger
    than the source."""
    long_side, short_side = max(source.width, source.height), min(source.width, source.height)
    scale = min(Fraction(1), Fraction(height * 16, 9 * long_side), Fraction(height, short_side))
    return _even(source.width * scale), _even(source.height * scale)


def _even(side: Fraction) -> int:
    return max(_SIDE_MIN, 2 * int(side / 2))


def _peak_kbps(size: tuple[int, int], rate: Fraction, top_kbps: int) -> int:
    """Detail per pixel falls as pixels grow (power 0.8); frames above 30 a second cost less each."""
    pixels = size[0] * size[1] / _HD_PIXELS
    frames = max(1.0, float(rate) / 30) ** 0.5
    kbps: float = top_kbps * pixels**0.8 * frames
    return max(_RATE_KBPS_MIN, round(kbps / 10) * 10)
