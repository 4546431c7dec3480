import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from encoder import films

PROGRAM = str(Path(sys.executable).parent / "sluice-encoder")


@dataclass(frozen=True, slots=True)
class Published:
    """One film, encoded by the real program into a real folder."""

    folder: Path
    origin: Path
    events: list[dict[str, Any]]

    @property
    def integrity(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.folder / "integrity.json").read_text())
        return document


def encode(file: Path, room: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(PROGRAM, "encode", str(file), "--title-id", "clip", "--json-progress"),
            *("--out", str(room / "origin"), "--work", str(room / "work"), *options),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def published(done: subprocess.CompletedProcess[str], room: Path) -> Published:
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    folder = room / "origin" / "clip" / events[-1]["version"]
    return Published(folder, room / "origin", events)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """4 s of 640x360 with sound: three rungs."""
    room = tmp_path_factory.mktemp("clip")
    source = films.make(
        room / "clip.mkv", *films.shapes("640x360"), *films.tone(), *films.FAST, "-c:a", "aac"
    )
    return published(encode(source, room), room)
