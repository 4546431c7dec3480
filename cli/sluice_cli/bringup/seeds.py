"""The first titles: the files that were named, or the film, or a test pattern where it cannot be had."""

import asyncio
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import grpc.aio

from sluice_cli.bringup import fleet
from sluice_cli.bringup.terminal import Progressed, Terminal
from sluice_cli.deployment import Deployment
from sluice_cli.errors import DeskError
from sluice_cli.titles.adding import add_title

_LINE_BYTES_MAX = 1 << 20


class SeedFailed(DeskError):
    """A title could not be made; the message says why."""


@dataclass(frozen=True, slots=True)
class Seed:
    """A file to make a title of."""

    file: Path
    title_id: str
    name: str
    attribution: str = ""


def seed_of(file: Path) -> Seed:
    """The title that a bare file name stands for: `My Film.mp4` is `my-film`, shown as `My Film`."""
    title_id = re.sub(r"[^a-z0-9]+", "-", file.stem.lower()).strip("-")[:63].strip("-") or "title"
    return Seed(file, title_id, file.stem)


async def seed_titles(
    deployment: Deployment,
    seeds: tuple[Seed, ...],
    channel: grpc.aio.Channel,
    work: Path,
    terminal: Terminal,
) -> None:
    """Adds what is not there yet. Without `seeds`, an empty catalog gets the film."""
    there = {title.name for title in await fleet.titles(channel)}
    if not seeds and not there:
        with terminal.bars() as progressed:
            film = await _film(work, progressed)
        if film.title_id == "test-pattern":
            terminal.say("the film could not be fetched; a test pattern stands in for it")
        seeds = (film,)
    for seed in seeds:
        if f"titles/{seed.title_id}" in there:
            continue
        terminal.say(f"adding {seed.name} from {seed.file}")
        with terminal.bars() as progressed:
            await add_title(
                deployment,
                seed.file,
                name=seed.name,
                title_id=seed.title_id,
                attribution=seed.attribution,
                progress=progressed,
            )


async def _film(work: Path, progressed: Progressed) -> Seed:
    """Fetches the film, or makes the test pattern, with the encoder's own command."""
    file = work / "film.mp4"
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "sluice-encoder"),
        "film",
        "--out",
        str(file),
        "--json-progress",
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES_MAX,
    )
    assert process.stdout is not None
    last: dict[str, str] = {}
    try:
        async for line in process.stdout:
            event = json.loads(line)
            if "step" in event:
                progressed("fetch the film", float(event.get("done", 0.0)), event.get("detail", ""))
            last = event
        status = await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    if status != 0:
        raise SeedFailed(f"sluice-encoder film ended with status {status}")
    title_id = last["film"]
    name = "Big Buck Bunny" if title_id == "big-buck-bunny" else "Test pattern"
    return Seed(file, title_id, name, last.get("attribution", ""))
