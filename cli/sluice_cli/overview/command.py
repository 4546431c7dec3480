"""The command line of `sluice status`."""

import asyncio
import json
from dataclasses import asdict

import typer

from sluice_cli.deployment import read_deployment
from sluice_cli.options import DEFAULT_STATE, Json, State, examples

EPILOG = examples("sluice status", "sluice status --json | jq .appliances")


def status(state: State = DEFAULT_STATE, as_json: Json = False) -> None:
    """Every process, address, appliance and title. Exit code 1 when something is not healthy."""
    deployment = read_deployment(state)
    from sluice_cli.overview.status import ask_status, show_status

    facts = asyncio.run(ask_status(deployment))
    if as_json:
        typer.echo(json.dumps(asdict(facts), indent=2))
    else:
        show_status(facts)
    if not facts.healthy:
        raise typer.Exit(1)
