"""`sluice fleet fill-policy show|set`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice_cli.deployment import read_deployment
from sluice_cli.errors import BadArgument
from sluice_cli.fleet.windows import Window, parse_window, window_text
from sluice_cli.options import DEFAULT_STATE, Json, State, examples

if TYPE_CHECKING:
    from sluice.fill.v1 import fill_pb2

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="When and how much the appliances of a site may fetch.",
    epilog=examples("sluice fleet fill-policy show site-a"),
)

SiteId = Annotated[str, typer.Argument(metavar="SITE", help="A site's id, such as site-a.")]


@app.command("show", epilog=examples("sluice fleet fill-policy show site-a --json"))
def show(site: SiteId, state: State = DEFAULT_STATE, json: Json = False) -> None:
    """Show when and how much the appliances of a site may fetch."""
    import asyncio

    from sluice_cli.fleet import calls

    site_id = _site(site)
    policy = asyncio.run(calls.get_fill_policy(read_deployment(state), site_id))
    _print(site_id, policy, as_json=json)


@app.command(
    "set",
    epilog=examples(
        "sluice fleet fill-policy set site-a --window 02:00-14:00 --zone Europe/Madrid",
        'sluice fleet fill-policy set site-a --window "sat,sun 00:00-24:00" --rate-mbit 400',
        "sluice fleet fill-policy set site-a",
    ),
)
def set_(
    site: SiteId,
    window: Annotated[
        list[str] | None,
        typer.Option("--window", metavar="TIME", help="When they may fetch; may be repeated."),
    ] = None,
    zone: Annotated[
        str, typer.Option("--zone", metavar="ZONE", help="IANA time zone of the windows.")
    ] = "UTC",
    window_gb: Annotated[
        float, typer.Option("--window-gb", metavar="GB", min=0, help="What one window may bring.")
    ] = 0.0,
    rate_mbit: Annotated[
        float,
        typer.Option("--rate-mbit", metavar="MBIT", min=0, help="Mbit/s, all sources together."),
    ] = 0.0,
    percentile: Annotated[
        int,
        typer.Option(
            "--percentile", metavar="P", min=0, max=100, help="By which the link is billed: 95."
        ),
    ] = 0,
    drive_writes: Annotated[
        float,
        typer.Option(
            "--drive-writes", metavar="N", min=0, help="Times flash may be written full in a day."
        ),
    ] = 0.0,
    stop_below_roi: Annotated[
        bool,
        typer.Option(
            "--stop-below-roi", help="Fetch nothing that is not urgent where it costs more."
        ),
    ] = False,
    state: State = DEFAULT_STATE,
    json: Json = False,
) -> None:
    """Replace a site's policy as a whole: what is not given has no limit."""
    import asyncio

    from sluice.fill.v1 import fill_pb2
    from sluice_cli.fleet import calls

    windows = [parse_window(text) for text in window or ()]
    site_id = _site(site)
    policy = fill_pb2.FillPolicy(
        windows=[
            fill_pb2.FillWindow(
                start_minute=each.start_minute,
                duration_minutes=each.duration_minutes,
                weekdays=each.weekdays,
                time_zone=zone,
            )
            for each in windows
        ],
        window_bytes_max=round(window_gb * 1e9),
        rate_bits_per_s_max=round(rate_mbit * 1e6),
        billed_percentile=percentile,
        drive_writes_per_day=drive_writes,
        stop_below_unit_roi=stop_below_roi,
    )
    stored = asyncio.run(calls.set_fill_policy(read_deployment(state), site_id, policy))
    _print(site_id, stored, as_json=json)


def _site(site: str) -> str:
    site_id = site.removeprefix("sites/")
    if not site_id:
        raise BadArgument("the site's id is empty; `sluice fleet list` shows the sites")
    return site_id


def _print(site_id: str, policy: "fill_pb2.FillPolicy", *, as_json: bool) -> None:
    from sluice_cli.printing import print_facts, print_json

    facts = _facts(site_id, policy)
    if as_json:
        print_json(facts)
        return
    windows = [f"{each['time']} {each['zone']}" for each in facts.pop("windows")]
    limits = [(name.replace("_", " "), _limit(value)) for name, value in facts.items()]
    print_facts([limits[0], ("windows", "; ".join(windows) or "at any time"), *limits[1:]])


def _facts(site_id: str, policy: "fill_pb2.FillPolicy") -> dict[str, Any]:
    return {
        "site": site_id,
        "windows": [
            {
                "time": window_text(
                    Window(each.start_minute, each.duration_minutes, tuple(each.weekdays))
                ),
                "zone": each.time_zone or "UTC",
            }
            for each in policy.windows
        ],
        "window_bytes_max": policy.window_bytes_max,
        "rate_bits_per_s_max": policy.rate_bits_per_s_max,
        "billed_percentile": policy.billed_percentile,
        "drive_writes_per_day": policy.drive_writes_per_day,
        "stop_below_unit_roi": policy.stop_below_unit_roi,
    }


def _limit(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case 0:
            return "no limit"
        case _:
            return str(value)
