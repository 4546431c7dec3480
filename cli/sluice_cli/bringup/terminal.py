"""What `sluice up` shows a person: steps with their time, bars for long work, and a table at the end."""

import contextlib
import time
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from sluice.content.v1 import content_pb2
from sluice_cli.deployment import Deployment


class Terminal:
    """Writes to standard output; bars only where that is a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)

    def say(self, line: str) -> None:
        self._console.print(line, markup=False)

    @contextlib.contextmanager
    def step(self, sentence: str) -> Iterator[None]:
        started = time.monotonic()
        if self._console.is_terminal:
            with self._console.status(sentence):
                yield
        else:
            yield
        self.say(f"{sentence}: {time.monotonic() - started:.1f} s")

    def table(self, deployment: Deployment, titles: list[content_pb2.Title]) -> None:
        """Where everything is."""
        places = Table(box=None, show_header=False, pad_edge=False)
        for name, where in (
            ("watch", deployment.gateway),
            ("playback API", f"{deployment.gateway}/v1/openapi.json"),
            ("steering DNS", f"{deployment.dns} (zone {deployment.zone}, UDP and TCP)"),
            ("control plane", f"{deployment.control_plane} (gRPC, mutual TLS)"),
            ("origin", deployment.origin),
            *((process.name, process.admin) for process in deployment.processes),
        ):
            places.add_row(name, where)
        self._console.print(places)
        for title in titles:
            self.say(f"title {title.name}: {title.display_name}. {title.attribution}".rstrip(" ."))
        self.say(
            "try: sluice status · sluice play TITLE --client 10.1.2.3 · sluice explain 10.1.2.3"
        )
