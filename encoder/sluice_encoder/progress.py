"""Telling people and programs how far a job is."""

import json
from typing import Any, Protocol, TextIO

# JSON readers bound their lines; a detail is a phrase, not a page.
DETAIL_CHARACTERS_MAX = 200


class Progress(Protocol):
    def step(self, name: str, done: float, detail: str = "") -> None: ...

    def finish(self, facts: dict[str, Any], sentence: str) -> None: ...


class JsonProgress:
    """One JSON object a line."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def step(self, name: str, done: float, detail: str = "") -> None:
        event = {"step": name, "done": round(done, 3), "detail": detail[:DETAIL_CHARACTERS_MAX]}
        self._write(event)

    def finish(self, facts: dict[str, Any], sentence: str) -> None:
        self._write(facts)

    def _write(self, event: dict[str, Any]) -> None:
        self._out.write(json.dumps(event) + "\n")
        self._out.flush()


class TextProgress:
    """A line when a step begins, at each tenth of it, and at the end."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._shown: tuple[str, int] | None = None

    def step(self, name: str, done: float, detail: str = "") -> None:
        shown = (name, int(done * 10))
        if shown == self._shown:
            return
        self._shown = shown
        self._write(f"{name:<9}{done:4.0%}  {detail}".rstrip())

    def finish(self, facts: dict[str, Any], sentence: str) -> None:
        self._write(sentence)

    def _write(self, line: str) -> None:
        self._out.write(line + "\n")
        self._out.flush()
