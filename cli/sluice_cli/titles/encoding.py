"""Runs `sluice-encoder add` as a child and tells of its progress events."""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sluice_cli.deployment import Deployment
from sluice_cli.titles.errors import AddFailed

# Told a step's name, how much of it is done (0..1), and what it is doing.
Progress = Callable[[str, float, str], None]

# A progress line is about a hundred bytes; a child that sends more than this is not our encoder.
LINE_BYTES_MAX = 64 * 1024
# From SIGTERM to SIGKILL: the encoder has an ffmpeg of its own to stop.
STOP_TIMEOUT_S = 10.0
_ERROR_TAIL_BYTES = 4096

# The encoder of the same installation.
ENCODER = str(Path(sys.executable).parent / "sluice-encoder")


@dataclass(frozen=True, slots=True)
class Published:
    """What the encoder put into the origin and registered."""

    title: str
    version: str
    objects: int
    size_bytes: int


def encoder_command(
    deployment: Deployment, file: Path, *, name: str, title_id: str, attribution: str
) -> list[str]:
    """The encoder of the same installation, with the deployment's addresses."""
    command = [
        ENCODER,
        *("add", str(file), "--title-id", title_id, "--name", name),
        *("--origin", deployment.origin_root, "--control-plane", deployment.control_plane),
        *("--identity", deployment.identity_publisher),
        *("--work", str(Path(deployment.origin_root).parent / "encoder")),
        "--json-progress",
    ]
    return [*command, "--attribution", attribution] if attribution else command


async def run_encoder(command: Sequence[str], progress: Progress) -> Published:
    """Encodes and publishes. Raises AddFailed with the encoder's last words."""
    last = await follow_encoder(command, progress)
    if last.get("step") != "done":
        raise AddFailed("sluice-encoder ended without saying what it published")
    return _published(last)


async def follow_encoder(command: Sequence[str], progress: Progress) -> dict[str, object]:
    """Runs a verb of the encoder, tells of its steps and returns its last event. Raises AddFailed with
    the encoder's last words; ends the encoder when cancelled."""
    with tempfile.TemporaryFile() as errors:
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                limit=LINE_BYTES_MAX,
                # Ctrl-C reaches us alone; we end it below.
                process_group=0,
            )
        except OSError as error:
            raise AddFailed(f"{command[0]}: {error.strerror}; install sluice[encoder]") from None
        last: dict[str, object] = {}
        try:
            async for last in _events(process):
                if "done" in last:
                    progress(str(last.get("step")), _share(last), str(last.get("detail", "")))
            status = await process.wait()
        finally:
            await _stop(process)
        if status != 0:
            raise AddFailed(_last_words(errors) or f"sluice-encoder ended with status {status}")
        return last


async def _events(process: asyncio.subprocess.Process) -> AsyncIterator[dict[str, object]]:
    assert process.stdout is not None
    while True:
        try:
            line = await process.stdout.readline()
        except ValueError:
            raise AddFailed(
                f"sluice-encoder sent a line of more than {LINE_BYTES_MAX} bytes"
            ) from None
        if not line:
            return
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            raise AddFailed(f"sluice-encoder sent {line[:80]!r}, expected a JSON object a line")
        yield event


def _share(event: dict[str, object]) -> float:
    done = event.get("done")
    return min(1.0, max(0.0, float(done))) if isinstance(done, int | float) else 0.0


def _published(event: dict[str, object]) -> Published:
    title, version = event.get("title"), event.get("version")
    objects, size_bytes = event.get("objects"), event.get("bytes")
    if not (
        isinstance(title, str)
        and isinstance(version, str)
        and isinstance(objects, int)
        and isinstance(size_bytes, int)
    ):
        raise AddFailed(f"sluice-encoder ended with {event!r}, expected title, version and sizes")
    return Published(title, version, objects, size_bytes)


def _last_words(errors: IO[bytes]) -> str:
    size = errors.seek(0, 2)
    errors.seek(max(0, size - _ERROR_TAIL_BYTES))
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("sluice-encoder: ") if lines else ""


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
