"""`sluice title add|list|priority|remove`."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sluice_cli.deployment import Deployment, read_deployment
from sluice_cli.errors import BadArgument
from sluice_cli.options import DEFAULT_STATE, Json, State, examples
from sluice_cli.titles.naming import bare_id, is_title_id, title_id_of

if TYPE_CHECKING:
    from sluice_cli.titles.adding import AddedTitle

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=examples('sluice title add trip.mp4 --name "A Trip"', "sluice title list"),
)

DEFAULT_TIMEOUT_S = 600.0


class Urgency(StrEnum):
    """As in `sluice.fill.v1.FillPriority`."""

    AUTO = "auto"
    NORMAL = "normal"
    NEW_RELEASE = "new-release"
    EMERGENCY = "emergency"


@app.command(
    "add",
    epilog=examples(
        'sluice title add trip.mp4 --name "A Trip"',
        'sluice title add bunny.mp4 --name "Big Buck Bunny" --id big-buck-bunny',
    ),
)
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A video file.")],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What people see.")],
    title_id: Annotated[
        str | None,
        typer.Option(
            "--id",
            metavar="ID",
            help="Lower-case letters, digits, hyphens; made of the name if unset.",
        ),
    ] = None,
    attribution: Annotated[
        str,
        typer.Option("--attribution", metavar="TEXT", help="Who must be named when it is shown."),
    ] = "",
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", metavar="S", help="Seconds to wait for the fill; the fill itself goes on."
        ),
    ] = DEFAULT_TIMEOUT_S,
    state: State = DEFAULT_STATE,
    json: Json = False,
) -> None:
    """Encode a file, publish it, and wait until viewers can play it."""
    from sluice_cli.printing import megabytes, print_json

    title_id = bare_id(title_id, "titles") if title_id else title_id_of(name)
    if not is_title_id(title_id):
        raise BadArgument(
            f"the id is {title_id!r}, expected 1..63 of a-z, 0-9 and inner hyphens; give one with --id"
        )
    if not file.is_file():
        raise BadArgument(f"{file}: no such file")
    if not timeout > 0:
        raise BadArgument(f"--timeout is {timeout:g}, expected more than 0")
    deployment = read_deployment(state)
    added = _run(deployment, file, name, title_id, attribution, timeout, quiet=json)
    if json:
        import dataclasses

        print_json(dataclasses.asdict(added))
        return
    print(
        f"{added.title} is live: version {added.version}, {added.objects} objects, "
        f"{megabytes(added.size_bytes)}, {added.seconds:.0f} s"
    )
    print(f"try: sluice play {title_id}")


@app.command("list", epilog=examples("sluice title list", "sluice title list --json"))
def list_(state: State = DEFAULT_STATE, json: Json = False) -> None:
    """List the titles."""
    import asyncio

    from sluice.content.v1 import content_pb2
    from sluice_cli.printing import print_json, print_table
    from sluice_cli.titles import calls

    titles = [
        {
            "id": bare_id(title.name, "titles"),
            "display_name": title.display_name,
            "state": content_pb2.TitleState.Name(title.state).removeprefix("TITLE_STATE_").lower(),
            "version": title.version,
            "bucket": title.bucket,
            "seconds": round(title.duration.ToNanoseconds() / 1e9, 3),
            "renditions": [rendition.rendition_id for rendition in title.renditions],
            "attribution": title.attribution,
        }
        for title in asyncio.run(calls.list_titles(read_deployment(state)))
    ]
    if json:
        print_json(titles)
        return
    print_table(
        ("id", "name", "state", "seconds", "bucket", "version"),
        (
            (
                str(title["id"]),
                str(title["display_name"]),
                str(title["state"]),
                f"{title['seconds']:.1f}",
                str(title["bucket"]),
                str(title["version"]),
            )
            for title in titles
        ),
    )


@app.command(
    "priority",
    epilog=examples(
        "sluice title priority big-buck-bunny emergency", "sluice title priority x auto"
    ),
)
def priority(
    title: Annotated[str, typer.Argument(metavar="ID", help="A title's id.")],
    urgency: Annotated[
        Urgency,
        typer.Argument(
            metavar="|".join(Urgency),
            help="emergency overrides the windows; auto goes by the title's age.",
        ),
    ],
    state: State = DEFAULT_STATE,
    json: Json = False,
) -> None:
    """Say how urgent it is that appliances hold a title."""
    import asyncio

    from sluice.fill.v1 import fill_pb2
    from sluice_cli.printing import print_json
    from sluice_cli.titles import calls

    title_id = bare_id(title, "titles")
    name = "unspecified" if urgency is Urgency.AUTO else urgency.value
    wire = fill_pb2.FillPriority.Value(f"FILL_PRIORITY_{name.upper().replace('-', '_')}")
    asyncio.run(calls.set_priority(read_deployment(state), title_id, wire))
    if json:
        print_json({"title": title_id, "priority": urgency.value})
    else:
        print(f"titles/{title_id} has priority {urgency.value}")


@app.command("remove", epilog=examples("sluice title remove big-buck-bunny"))
def remove(
    title: Annotated[str, typer.Argument(metavar="ID", help="A title's id.")],
    state: State = DEFAULT_STATE,
    json: Json = False,
) -> None:
    """Take a title out: it is no longer played, and appliances let it go."""
    import asyncio

    from sluice_cli.printing import print_json
    from sluice_cli.titles import calls

    title_id = bare_id(title, "titles")
    asyncio.run(calls.remove_title(read_deployment(state), title_id))
    if json:
        print_json({"removed": f"titles/{title_id}"})
    else:
        print(f"titles/{title_id} is removed")


def _run(
    deployment: Deployment,
    file: Path,
    name: str,
    title_id: str,
    attribution: str,
    timeout_s: float,
    *,
    quiet: bool,
) -> "AddedTitle":
    import asyncio

    from sluice_cli.titles.adding import add_title
    from sluice_cli.titles.bars import progress_bars

    with progress_bars(quiet=quiet) as progress:
        return asyncio.run(
            add_title(
                deployment,
                file.resolve(),
                name=name,
                title_id=title_id,
                attribution=attribution,
                progress=progress,
                live_timeout_s=timeout_s,
            )
        )
