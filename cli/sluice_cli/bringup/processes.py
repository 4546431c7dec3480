"""The processes of `sluice up`: started, kept alive, asked how they are, stopped together."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import aiohttp

from sluice_cli.bringup.layout import Program
from sluice_cli.errors import DeskError
from sluice_runtime.files import write_atomically
from sluice_runtime.lifecycle import Backoff, Exited, Keeper, ProcessSpec, Started

# A program that ends this often before it was ever healthy will not become so by itself.
FAILED_STARTS_MAX = 3
_POLL_S = 0.1
_LOG_TAIL_BYTES = 4096

Say = Callable[[str], None]


class StartFailed(DeskError):
    """A program did not become healthy; the message has its last words and its log."""


class Processes:
    """Children by name. Call `start` inside the task group that owns them."""

    def __init__(
        self, logs: Path, *, backoff: Backoff, say: Say, clock: Callable[[], float]
    ) -> None:
        self._logs = logs
        self._backoff = backoff
        self._say = say
        self._clock = clock
        self._keepers: dict[str, Keeper] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    def start(self, program: Program, group: asyncio.TaskGroup) -> None:
        """Writes the program's configuration and keeps it running until the group is cancelled."""
        if program.config_path is not None:
            # The token in a new appliance's file is a secret.
            write_atomically(Path(program.config_path), program.config_text.encode(), mode=0o600)
        self._logs.mkdir(parents=True, exist_ok=True)
        spec = ProcessSpec(
            program.name,
            (str(Path(sys.executable).parent / program.argv[0]), *program.argv[1:]),
            env={"PYTHONUNBUFFERED": "1"},
            log_path=self.log_path(program.name),
        )
        keeper = Keeper(spec, backoff=self._backoff, clock=self._clock, on_event=self._hear)
        self._keepers[program.name] = keeper
        self._tasks.append(group.create_task(keeper.run(), name=program.name))

    def log_path(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def stop(self) -> None:
        """Stops every child, all at once; the task group that owns them ends when they have."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()

    async def until_healthy(self, programs: list[Program], *, timeout_s: float) -> None:
        """Raises StartFailed where one of them does not answer `/healthz` with 200 in time."""
        timeout = aiohttp.ClientTimeout(total=2.0)
        async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
            for program in programs:
                group.create_task(self._until_healthy(session, program, timeout_s))

    async def _until_healthy(
        self, session: aiohttp.ClientSession, program: Program, timeout_s: float
    ) -> None:
        deadline = self._clock() + timeout_s
        said = "no answer"
        while self._clock() < deadline:
            if self._keepers[program.name].restarts >= FAILED_STARTS_MAX:
                raise StartFailed(
                    f"{program.name} ends at every start. {self._last_words(program)}"
                )
            try:
                async with session.get(f"{program.admin_url}/healthz") as answer:
                    if answer.status == 200:
                        return
                    said = (await answer.text())[:200]
            except (aiohttp.ClientError, TimeoutError) as error:
                said = str(error) or type(error).__name__
            await asyncio.sleep(_POLL_S)
        raise StartFailed(
            f"{program.name} is not healthy after {timeout_s:.0f} s: {said}. {self._last_words(program)}"
        )

    def _last_words(self, program: Program) -> str:
        path = self.log_path(program.name)
        try:
            with path.open("rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - _LOG_TAIL_BYTES))
                lines = log.read().decode("utf-8", "replace").strip().splitlines()
        except OSError:
            lines = []
        return f"Its log {path} ends: {lines[-1] if lines else '(empty)'}"

    def _hear(self, event: Started | Exited) -> None:
        if isinstance(event, Exited) and not self._stopping:
            how = (
                f"was killed by signal {-event.returncode}"
                if event.returncode < 0
                else f"ended with status {event.returncode}"
            )
            self._say(
                f"{event.name} {how} after {event.ran_s:.1f} s; "
                f"starting it again in {event.restart_in_s:.1f} s (log: {self.log_path(event.name)})"
            )
