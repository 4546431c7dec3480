"""A server that is measured: how it is started on its core, set aside while others run, and ended."""

import os
import signal
import socket
import string
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.serving import process_tree
from benchmarks.serving.process_tree import CpuTime

HERE = Path(__file__).parent
SERVER_CORE = "0"
# Debian keeps servers where a user's shell does not look.
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 15.0


class NotStarted(Exception):
    """A server does not listen; the message has what it said."""


class Pair(NamedTuple):
    """A certificate and its key, PEM."""

    certificate: Path
    key: Path


class Site(NamedTuple):
    """What a peer is started with: the same objects as plain files and as a store of ours."""

    folder: Path
    files: Path
    store: Path
    tls: Pair | None
    workers: int = 1

    @property
    def scheme(self) -> str:
        return "https" if self.tls else "http"

    def over(self, scheme: str) -> "Site":
        return self if scheme == "https" else self._replace(tls=None)


@dataclass(frozen=True, slots=True)
class Peer:
    """A running server; `pid` is its first process, and all under it are counted as its own."""

    name: str
    scheme: str
    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def cpu(self) -> CpuTime:
        return process_tree.cpu(self.pid)

    def disk_bytes(self) -> int:
        return process_tree.disk_bytes(self.pid)

    def memory_bytes(self) -> int:
        return process_tree.memory_bytes(self.pid)

    def set_aside(self) -> None:
        """Stops it until `bring_back`: some poll when idle, and would take part of another's core."""
        process_tree.signal_all(self.pid, signal.SIGSTOP)

    def bring_back(self) -> None:
        process_tree.signal_all(self.pid, signal.SIGCONT)


@contextmanager
def running(
    name: str,
    argv: Sequence[str],
    port: int,
    site: Site,
    *,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Peer]:
    """Runs `argv` on the servers' core until the block ends. Raises NotStarted."""
    log = site.folder / f"{name}.log"
    with (
        log.open("ab") as written,
        subprocess.Popen(
            ["taskset", "-c", SERVER_CORE, *argv],
            stdout=written,
            stderr=written,
            env={**os.environ, "PATH": PATH, **(environment or {})},
        ) as process,
    ):
        peer = Peer(name, site.scheme, port, process.pid)
        try:
            _until_it_listens(peer, process, log)
            yield peer
        finally:
            _end(peer, process)


def filled(template: str, **values: object) -> str:
    """A configuration of this folder with its `$names` filled in."""
    return string.Template((HERE / template).read_text()).substitute(values)


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port: int = probe.getsockname()[1]
        return port


def _until_it_listens(peer: Peer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        with closing(socket.socket()) as client:
            if client.connect_ex(("127.0.0.1", peer.port)) == 0:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(errors="replace")[-2000:]
            raise NotStarted(f"{peer.name} does not listen on {peer.port}; it said:\n{said}")
        time.sleep(0.05)


def _end(peer: Peer, process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        peer.bring_back()
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process_tree.signal_all(process.pid, signal.SIGKILL)
