"""A bar for each step of long work, on standard error; plain lines where that is no terminal."""

import contextlib
import sys
from collections.abc import Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

from sluice_cli.titles.encoding import Progress as Told


@contextlib.contextmanager
def progress_bars(*, quiet: bool) -> Iterator[Told]:
    """What is told while the block runs is shown, or not when `quiet`."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[detail]}"),
    )
    shown = console.is_terminal and not quiet
    with Progress(*columns, console=console, disable=not shown) as bars:
        tasks: dict[str, TaskID] = {}
        done: set[str] = set()

        def told(step: str, share: float, detail: str) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=1.0, detail=detail)
            bars.update(tasks[step], completed=share, detail=detail)
            if share >= 1.0 and step not in done:
                done.add(step)
                if not shown and not quiet:
                    print(f"{step}: done {detail}".rstrip(), file=sys.stderr)

        yield told
