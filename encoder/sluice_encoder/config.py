"""What an operator may decide about encoding; every value has a default that suits a film."""

from dataclasses import dataclass
from pathlib import Path

from sluice_runtime.config import setting

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower")


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """The settings of `sluice-encoder add` and `encode`, read from `--config`."""

    ladder_heights: tuple[int, ...] = setting(
        "Heights below the source's own that a rung may have, largest first.",
        default=(1080, 720, 360, 240, 180),
        unit="pixels",
    )
    rungs_max: int = setting("How many video renditions a title gets at most.", default=3)
    segment_seconds: float = setting(
        "Length of a segment; every rendition has a key frame at each start.", default=2.0, unit="s"
    )
    preset: str = setting("The x264 preset: slower is smaller.", default="veryfast")
    crf: int = setting("The x264 quality, 0..51: lower is better and larger.", default=23)
    top_kbps: int = setting(
        "Peak rate of a 1080p30 rung; other sizes follow from it.", default=5000, unit="kbit/s"
    )
    audio_kbps: int = setting("Rate of the AAC stereo rendition.", default=128, unit="kbit/s")
    work_folder: Path | None = setting("Where unfinished encodes are kept.", default=None)

    def __post_init__(self) -> None:
        heights = self.ladder_heights
        if not heights or any(not 16 <= height <= 4320 for height in heights):
            raise ValueError(f"ladder_heights is {list(heights)}, expected heights of 16..4320")
        if list(heights) != sorted(set(heights), reverse=True):
            raise ValueError(f"ladder_heights is {list(heights)}, expected the largest first")
        _within("rungs_max", self.rungs_max, 1, 10)
        _within("segment_seconds", self.segment_seconds, 0.5, 20)
        _within("crf", self.crf, 0, 51)
        _within("top_kbps", self.top_kbps, 100, 100_000)
        _within("audio_kbps", self.audio_kbps, 32, 512)
        if self.preset not in PRESETS:
            raise ValueError(f"preset is {self.preset!r}, expected one of {', '.join(PRESETS)}")


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}, expected {low}..{high}")
