"""Options that many commands share, so that they are spelled and explained the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer

State = Annotated[
    Path,
    typer.Option(
        "--state",
        metavar="DIR",
        envvar="SLUICE_STATE",
        help="The folder in which `sluice up` keeps the system.",
    ),
]
DEFAULT_STATE = Path("state")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]


def examples(*lines: str) -> str:
    """The end of a command's help: what to type, one a line."""
    return "\b\n" + "\n".join(("example:", *(f"  {line}" for line in lines)))
