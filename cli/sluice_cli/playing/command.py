"""`sluice play`: parses, runs the player, and prints how it went."""

import ipaddress
from typing import Annotated

import typer

from sluice_cli.deployment import Deployment, read_deployment
from sluice_cli.errors import BadArgument, DeskError
from sluice_cli.options import DEFAULT_STATE, Json, State, examples
from sluice_cli.playing.report import PlayReport, PlayRequest

DEFAULT_BUFFER_S = 30.0

EPILOG = examples(
    "sluice play big-buck-bunny",
    "sluice play big-buck-bunny --client 10.1.2.3 --seconds 10 --json",
    "sluice play big-buck-bunny --realtime --buffer-s 6",
)


class PlayEnded(DeskError):
    """The play stopped before its end, or something was not what was published."""


def play(
    title: Annotated[
        str, typer.Argument(metavar="TITLE", help="A title's id, such as big-buck-bunny.")
    ],
    client: Annotated[
        str | None,
        typer.Option(
            "--client", metavar="IP", help="Play as this client: DNS and playback API hear of it."
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds", metavar="N", help="Stop after N seconds of film (at the segment's end)."
        ),
    ] = None,
    rendition: Annotated[
        str | None,
        typer.Option("--rendition", metavar="R", help="Keep to this rendition, such as h264-720p."),
    ] = None,
    realtime: Annotated[
        bool,
        typer.Option(
            "--realtime/--fast",
            help="Wait until all has been shown; --fast ends with the last byte.",
        ),
    ] = False,
    buffer_s: Annotated[
        float,
        typer.Option(
            "--buffer-s", metavar="N", help="Seconds of film to hold ahead of the viewer at most."
        ),
    ] = DEFAULT_BUFFER_S,
    state: State = DEFAULT_STATE,
    json: Json = False,
) -> None:
    """Play a title as a real player does, and verify every byte.

    Asks the playback API, resolves the steered name at our DNS with the client's subnet, reads the
    HLS manifests, picks renditions by throughput and buffer, checks each segment against the
    published digests, and fails over when an appliance does not answer or sends wrong bytes.
    """

    request = PlayRequest(
        title=title.removeprefix("titles/"),
        client=_client(client),
        seconds=_positive("--seconds", seconds),
        rendition=rendition,
        realtime=realtime,
        buffer_s=_positive("--buffer-s", buffer_s) or DEFAULT_BUFFER_S,
    )
    report = _run(read_deployment(state), request, quiet=json)
    if json:
        from sluice_cli.printing import print_json

        print_json(report.as_json())
    else:
        _print(report)
    if report.error is not None:
        raise PlayEnded(f"{title}: {report.error}")


def _run(deployment: Deployment, request: PlayRequest, *, quiet: bool) -> PlayReport:
    import asyncio
    import time

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from sluice_cli.playing.player import Shown, play

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} s  {task.fields[detail]}"),
    )
    disable = quiet or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=disable) as bars:
        task = bars.add_task(request.title, total=request.seconds or 0.0, detail="")

        def shown(state: Shown) -> None:
            bars.update(
                task,
                completed=state.ready_s,
                total=state.total_s,
                detail=f"{state.rendition_id} from {state.address}",
            )

        return asyncio.run(play(deployment, request, clock=time.monotonic, watch=shown))


def _print(report: PlayReport) -> None:
    from sluice_cli.printing import megabytes, print_facts

    shares = {name: megabytes(size) for name, size in report.appliances.items()}
    faults = ", ".join(f"{count} {kind}" for kind, count in report.faults.items())
    print_facts(
        (
            ("title", report.title),
            ("client", report.client or "this machine"),
            ("played", f"{report.seconds:.1f} s in {report.segments} segments"),
            ("bytes", f"{megabytes(report.bytes)} at {report.throughput_mbps:.1f} Mbit/s"),
            ("from", ", ".join(f"{name} {share}" for name, share in shares.items())),
            ("renditions", ", ".join(f"{name} {n}" for name, n in report.renditions.items())),
            ("startup", f"{report.startup_ms} ms"),
            ("rebuffers", f"{report.rebuffers} ({report.rebuffer_ms} ms)"),
            ("failovers", f"{report.failovers}" + (f" ({faults})" if faults else "")),
            ("digests", "every byte verified" if report.digest_ok else "NOT verified"),
        )
    )


def _client(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise BadArgument(f"--client is {text!r}, expected an IPv4 or IPv6 address") from None


def _positive(option: str, value: float | None) -> float | None:
    # `not >` also refuses NaN.
    if value is not None and not value > 0:
        raise BadArgument(f"{option} is {value:g}, expected more than 0")
    return value
