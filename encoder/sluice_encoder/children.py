"""Runs ffmpeg, the packager and npm: argv lists, bounded output, and no orphan."""

import asyncio
import ctypes
import signal
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from sluice_encoder.errors import ToolFailed

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
# A tool that repeats itself fills neither memory nor the message: its last lines say why it ended.
ERROR_LINES_KEPT = 20
ERROR_LINE_CHARACTERS_MAX = 300
LINE_BYTES_MAX = 64 * 1024


class Child:
    """A running tool; `lines` is its standard output."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.errors: deque[str] = deque(maxlen=ERROR_LINES_KEPT)

    async def lines(self) -> AsyncIterator[str]:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            yield line.decode(errors="replace").strip()

    async def read_errors(self) -> None:
        assert self.process.stderr is not None
        while chunk := await self.process.stderr.read(LINE_BYTES_MAX):
            for line in chunk.decode(errors="replace").splitlines():
                if line.strip():
                    self.errors.append(line.strip()[:ERROR_LINE_CHARACTERS_MAX])


@asynccontextmanager
async def child(argv: Sequence[str], *, cwd: Path) -> AsyncIterator[Child]:
    """Starts a tool; however the block is left, it has ended afterwards."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LINE_BYTES_MAX,
            # The kernel kills it when we are killed: an orphan would go on writing.
            preexec_fn=_die_with_parent,
        )
    except OSError as error:
        raise ToolFailed(f"{argv[0]}: {error.strerror}") from None
    running = Child(process)
    try:
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(running.read_errors())
            try:
                yield running
                await process.wait()
                await reading
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
    except ExceptionGroup as group:
        raise group.exceptions[0] from None


async def run(argv: Sequence[str], *, cwd: Path, timeout_s: float) -> list[str]:
    """Runs a tool to its end and returns its lines. Raises ToolFailed with its last words."""
    name = Path(argv[0]).name
    try:
        async with asyncio.timeout(timeout_s), child(argv, cwd=cwd) as running:
            said = [line async for line in running.lines()]
    except TimeoutError:
        raise ToolFailed(f"{name}: not done after {timeout_s:g} s") from None
    if running.process.returncode != 0:
        raise ToolFailed(f"{name}: {last_words(running)}")
    return said


def last_words(ended: Child) -> str:
    if ended.errors:
        return ended.errors[-1]
    code = ended.process.returncode
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"ended with status {code}"


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
