"""Runs one encode into a folder that counts only when it is whole.

The folder is named for everything that shapes the result: the source's bytes, the command and the
ffmpeg that runs it. An encode that was interrupted leaves a `.part` folder that the next one clears.
"""

import asyncio
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sluice_encoder import children
from sluice_encoder.errors import EncoderError, SourceRefused, ToolFailed
from sluice_runtime.files import sync_folder

# A minute of 1080p takes well under a minute of one core; a day's film may take two.
ENCODE_TIMEOUT_S = 48 * 3600.0
# ffmpeg reports twice a second; one that is silent for this long is stuck.
SILENCE_TIMEOUT_S = 300.0
_OK = ".ok"


def encode_id(source_sha256: str, command: Sequence[str], source: str) -> str:
    """Of the command, the program's name counts (it carries the version), not where it or the
    source lies."""
    program, *arguments = command
    shaping = ["SOURCE" if argument == source else argument for argument in arguments]
    words = (source_sha256, Path(program).name, *shaping)
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:24]


@contextmanager
def only_one(folder: Path, what: str) -> Iterator[None]:
    """Holds `folder` for this process alone. Raises EncoderError where another has it."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EncoderError(f"another {what} in {folder} is under way") from None
        yield
    finally:
        os.close(descriptor)


async def transcode(
    command: Sequence[str], folder: Path, *, duration_s: float, progressed: Callable[[float], None]
) -> None:
    """Fills `folder` by `command`, which writes into its current folder; a whole one is kept as is."""
    if (folder / _OK).exists():
        progressed(1.0)
        return
    part = folder.with_name(folder.name + ".part")
    for stale in (part, folder):
        shutil.rmtree(stale, ignore_errors=True)
    part.mkdir(parents=True)
    await _run(command, part, duration_s, progressed)
    await asyncio.to_thread(_keep, part, folder)
    progressed(1.0)


async def _run(
    command: Sequence[str], part: Path, duration_s: float, progressed: Callable[[float], None]
) -> None:
    try:
        async with asyncio.timeout(ENCODE_TIMEOUT_S), children.child(command, cwd=part) as ffmpeg:
            lines = ffmpeg.lines()
            while True:
                async with asyncio.timeout(SILENCE_TIMEOUT_S):
                    line = await anext(lines, None)
                if line is None:
                    break
                name, _, value = line.partition("=")
                if name == "out_time_us" and value.lstrip("-").isdigit():
                    progressed(min(0.99, max(0.0, int(value) / 1e6 / duration_s)))
    except TimeoutError:
        raise ToolFailed(f"ffmpeg: no progress in {SILENCE_TIMEOUT_S:g} s") from None
    code = ffmpeg.process.returncode
    if code is not None and code < 0:
        raise ToolFailed(f"ffmpeg: {children.last_words(ffmpeg)}")
    if code != 0:
        raise SourceRefused(f"ffmpeg cannot encode it: {children.last_words(ffmpeg)}")


def _keep(part: Path, folder: Path) -> None:
    for path in part.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    (part / _OK).touch()
    sync_folder(part)
    part.rename(folder)
    sync_folder(folder.parent)


def source_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
