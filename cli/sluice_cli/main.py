"""The `sluice` command: registers every subcommand; each imports what it needs when it is run."""

import sys

import typer

from sluice_cli.bringup import command as bringup
from sluice_cli.errors import DeskError
from sluice_cli.fleet import commands as fleet
from sluice_cli.overview import command as overview
from sluice_cli.playing import command as playing
from sluice_cli.steering import command as steering
from sluice_cli.titles import commands as titles
from sluice_cli.token_keys import commands as keys

app = typer.Typer(
    name="sluice",
    help="Sluice, an open CDN: bring it up, watch what it does, add titles, play them.",
    epilog="\b\nexample:\n  sluice up\n  sluice play big-buck-bunny --client 10.1.2.3 --seconds 10",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Plain help: it is read in pipes and manuals as often as in terminals.
    rich_markup_mode=None,
)


app.command("up", epilog=bringup.EPILOG)(bringup.up)
app.command("status", epilog=overview.EPILOG)(overview.status)
app.command("play", epilog=playing.EPILOG)(playing.play)
app.command("explain", epilog=steering.EPILOG)(steering.explain)
app.add_typer(fleet.app, name="fleet", help="The appliances: list, show, drain, undrain.")
app.add_typer(keys.app, name="keys", help="The keys of access tokens: list, rotate.")
app.add_typer(titles.app, name="title", help="The titles: add, list, remove.")


def main() -> None:
    try:
        app()
    except DeskError as error:
        print(f"sluice: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
