"""Films made on the spot, each with what a test needs wrong or odd about it."""

import subprocess
from pathlib import Path

from sluice_encoder import commands

SECONDS = 4


def make(path: Path, *arguments: str) -> Path:
    """ffmpeg with `arguments`, into `path`."""
    subprocess.run(
        [commands.ffmpeg_program(), "-v", "error", "-nostdin", "-y", *arguments, f"file:{path}"],
        check=True,
        timeout=60,
    )
    return path


def shapes(size: str = "320x180", *, rate: int = 24, seconds: float = SECONDS) -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}")


def tone(*, seconds: float = SECONDS) -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}")


FAST = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
