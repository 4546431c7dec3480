"""The way of one film from a file to a title, step by step."""

import asyncio
import random
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice_encoder import commands, integrity, manifests, package, publish, register, transcode
from sluice_encoder.config import EncoderConfig
from sluice_encoder.errors import EncoderError, SourceRefused
from sluice_encoder.ladder import Ladder, LadderPolicy, plan_ladder
from sluice_encoder.progress import Progress
from sluice_encoder.source import SourceFacts, source_facts
from sluice_runtime import rpc

# An encode that is shorter than what the header promised by more than this lost its end.
SHORTFALL_S = 1.0
SHORTFALL_SHARE = 0.02

Registered = Callable[["Made"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Made:
    """A version of a title, in the origin."""

    title_id: str
    version: str
    duration_s: float
    ladder: Ladder
    files: tuple[integrity.Measured, ...]
    said: dict[str, manifests.Representation]

    @property
    def size_bytes(self) -> int:
        return sum(each.size_bytes for each in self.files)


async def examine(file: Path) -> SourceFacts:
    """Raises SourceRefused with the file's name and the reason."""
    try:
        return source_facts(await asyncio.to_thread(_probed, file))
    except SourceRefused as error:
        raise SourceRefused(f"{file}: {error}") from None


def _probed(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise SourceRefused("is no file" if file.exists() else "is not there")
    if file.stat().st_size == 0:
        raise SourceRefused("is empty")
    return commands.probe(file)


async def make_title(
    file: Path,
    *,
    title_id: str,
    origin: Path,
    work: Path,
    settings: EncoderConfig,
    progress: Progress,
    registered: Registered | None = None,
) -> Made:
    """Everything, in order; the work folder is emptied of this film when all is done."""
    progress.step("probe", 0.0, str(file))
    source = await examine(file)
    ladder = plan_ladder(
        source,
        LadderPolicy(
            settings.ladder_heights,
            settings.rungs_max,
            settings.segment_seconds,
            settings.top_kbps,
            settings.audio_kbps,
        ),
    )
    digest = await asyncio.to_thread(transcode.source_digest, file)
    progress.step("probe", 1.0, described(source))
    opened = commands.input_name(file)
    command = commands.encode_command(
        opened,
        ladder,
        video_index=source.video_index,
        interlaced=source.interlaced,
        preset=settings.preset,
        crf=settings.crf,
    )
    job = work / transcode.encode_id(digest, command, opened)
    with transcode.only_one(job, "encode"):
        names = " ".join(rung.name for rung in ladder.video)
        try:
            await transcode.transcode(
                command,
                job / "encoded",
                duration_s=source.duration_s,
                progressed=lambda done: progress.step("encode", done, names),
            )
        except SourceRefused as error:
            raise SourceRefused(f"{file}: {error}") from None
        made = await _packaged(file, job, title_id, source, ladder, settings, progress)
        progress.step("publish", 0.0, f"{title_id}/{made.version}")
        await asyncio.to_thread(
            publish.publish,
            job / "packaged",
            made.files,
            origin=origin,
            title_id=title_id,
            version=made.version,
        )
        progress.step("publish", 1.0, f"{title_id}/{made.version}")
        if registered is not None:
            progress.step("register", 0.0, f"titles/{title_id}")
            await registered(made)
            progress.step("register", 1.0, f"titles/{title_id}")
        await asyncio.to_thread(shutil.rmtree, job, ignore_errors=True)
    return made


async def _packaged(
    file: Path,
    job: Path,
    title_id: str,
    source: SourceFacts,
    ladder: Ladder,
    settings: EncoderConfig,
    progress: Progress,
) -> Made:
    progress.step("package", 0.0)
    folder = await package.package(ladder, job, segment_seconds=settings.segment_seconds)
    progress.step("package", 1.0)
    progress.step("measure", 0.0)
    made = await asyncio.to_thread(_measured, folder, title_id, ladder)
    progress.step("measure", 1.0, f"{len(made.files)} files, {made.size_bytes} bytes")
    shortfall = source.duration_s - made.duration_s
    if shortfall > max(SHORTFALL_S, SHORTFALL_SHARE * source.duration_s):
        shutil.rmtree(job, ignore_errors=True)
        raise SourceRefused(
            f"{file}: the video ends after {made.duration_s:.1f} s, its header says "
            f"{source.duration_s:.1f} s: the file is cut off or damaged"
        )
    return made


def _measured(folder: Path, title_id: str, ladder: Ladder) -> Made:
    playlists = [f"{rung.name}.m3u8" for rung in (*ladder.video, ladder.audio) if rung is not None]
    try:
        files = integrity.measure(folder, playlists)
        said = manifests.representations((folder / package.DASH).read_text())
    except (ValueError, OSError) as error:
        raise EncoderError(f"the packager's output does not hold together: {error}") from None
    version = integrity.version_of(files)
    (folder / integrity.INTEGRITY).write_bytes(integrity.integrity_json(title_id, version, files))
    own = integrity.measure_file(folder / integrity.INTEGRITY)
    duration_s = manifests.playlist_duration_s((folder / playlists[0]).read_text())
    return Made(title_id, version, duration_s, ladder, (*files, own), said)


def registration(
    target: str,
    tls: rpc.TlsFiles,
    *,
    display_name: str,
    attribution: str,
    request_id: str,
    rng: random.Random,
) -> Registered:
    """The last step: what `make_title` calls with what it made."""

    async def registered(made: Made) -> None:
        facts = register.TitleFacts(
            made.title_id, display_name, attribution, made.version, made.duration_s
        )
        title = register.title_message(facts, made.ladder, made.files, made.said)
        await register.register(target, tls, made.title_id, title, request_id=request_id, rng=rng)

    return registered


def described(source: SourceFacts) -> str:
    """A line for people."""
    sound = "no sound" if source.audio is None else f"{source.audio.channels} sound channels"
    return (
        f"{source.width}x{source.height}, {float(source.frame_rate):.3f} frames/s, "
        f"{source.duration_s:.1f} s, {sound}"
    )
