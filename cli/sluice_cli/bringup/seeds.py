"""The first titles: the files that were named, or the film, or a test pattern where it cannot be had."""

from dataclasses import dataclass
from pathlib import Path

import grpc.aio

from sluice_cli.bringup.terminal import Terminal
from sluice_cli.deployment import Deployment
from sluice_cli.titles.adding import add_title
from sluice_cli.titles.bars import progress_bars
from sluice_cli.titles.calls import all_titles
from sluice_cli.titles.encoding import ENCODER, Progress, follow_encoder
from sluice_cli.titles.naming import title_id_of


@dataclass(frozen=True, slots=True)
class Seed:
    """A file to make a title of."""

    file: Path
    title_id: str
    name: str
    attribution: str = ""
    # Why this is not the film that was meant.
    instead_because: str = ""


def seed_of(file: Path) -> Seed:
    """The title that a bare file name stands for: `My Film.mp4` is `my-film`, shown as `My Film`."""
    return Seed(file, title_id_of(file.stem) or "title", file.stem)


async def seed_titles(
    deployment: Deployment,
    seeds: tuple[Seed, ...],
    channel: grpc.aio.Channel,
    work: Path,
    terminal: Terminal,
) -> None:
    """Adds what is not there yet. Without `seeds`, an empty catalog gets the film."""
    there = {title.name for title in await all_titles(channel)}
    if not seeds and not there:
        with progress_bars(quiet=False) as progressed:
            film = await _film(work, progressed)
        if film.instead_because:
            terminal.say(f"a test pattern stands in for the film: {film.instead_because}")
        seeds = (film,)
    for seed in seeds:
        if f"titles/{seed.title_id}" in there:
            continue
        terminal.say(f"adding {seed.name} from {seed.file}")
        with progress_bars(quiet=False) as progressed:
            await add_title(
                deployment,
                seed.file,
                name=seed.name,
                title_id=seed.title_id,
                attribution=seed.attribution,
                progress=progressed,
            )


async def _film(work: Path, progressed: Progress) -> Seed:
    """Fetches the film, or makes the test pattern, with the encoder's own command."""
    file = work / "film.mp4"
    last = await follow_encoder(
        [ENCODER, "film", "--out", str(file), "--json-progress"], progressed
    )
    if last.get("film") == "big-buck-bunny":
        return Seed(file, "big-buck-bunny", "Big Buck Bunny", str(last.get("attribution", "")))
    return Seed(file, "test-pattern", "Test pattern", instead_because=str(last["instead_because"]))
