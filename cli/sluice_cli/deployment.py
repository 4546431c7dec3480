"""Where a running system is: `up.json` in the state folder, written by `sluice up`, read by the rest."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice_cli.errors import BadArgument, NothingRuns
from sluice_runtime.files import write_atomically

FILE_NAME = "up.json"


@dataclass(frozen=True, slots=True)
class RunningProcess:
    """One program of the system."""

    name: str
    # URL of its `/healthz` and `/metrics`.
    admin: str
    # Path of its log.
    log: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """The addresses and folders that a desk command needs."""

    # URL of the playback API and the web page.
    gateway: str
    # HOST:PORT of the steering DNS.
    dns: str
    # The steered zone.
    zone: str
    # HOST:PORT of the control plane's gRPC.
    control_plane: str
    # URL of the origin, and the folder that it serves.
    origin: str
    origin_root: str
    # Folders with `ca.pem cert.pem key.pem`.
    identity_operator: str
    identity_publisher: str
    # Of `sluice up`.
    pid: int
    processes: tuple[RunningProcess, ...]


def write_deployment(state: Path, deployment: Deployment) -> None:
    text = json.dumps(dataclasses.asdict(deployment), indent=2)
    write_atomically(state / FILE_NAME, text.encode() + b"\n")


def read_deployment(state: Path) -> Deployment:
    """Raises NothingRuns where there is no file, BadArgument where it is not one of ours."""
    path = state / FILE_NAME
    try:
        table = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise NothingRuns(f"nothing runs in {_shown(state)}; start it with: sluice up") from None
    except OSError as error:
        raise BadArgument(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise BadArgument(f"{path}: {error}; `sluice up` writes it anew") from None
    try:
        return _deployment(table)
    except (KeyError, TypeError, ValueError) as error:
        raise BadArgument(f"{path}: {_reason(error)}; `sluice up` writes it anew") from None


def _deployment(table: Any) -> Deployment:
    fields = {field.name: table[field.name] for field in dataclasses.fields(Deployment)}
    for name, value in fields.items():
        wanted = {"pid": int, "processes": list}.get(name, str)
        if not isinstance(value, wanted):
            raise ValueError(f"{name} is {value!r}, expected {wanted.__name__}")
    processes = tuple(
        RunningProcess(str(entry["name"]), str(entry["admin"]), str(entry["log"]))
        for entry in fields.pop("processes")
    )
    return Deployment(**fields, processes=processes)


def _reason(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _shown(state: Path) -> str:
    return str(state) if state.is_absolute() else f"./{state}"
