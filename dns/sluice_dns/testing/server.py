"""A `sluice-dns` process of one's own on a free port, for tests and benchmarks."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice_runtime.metrics import parse_exposition

_STARTED = re.compile(rb"answering (\S+):(\d+) zone (\S+) revision (\d+)")
_DEADLINE_S = 20.0


class NotReady(Exception):
    """What was waited for did not come in time."""


@dataclass
class Server:
    process: "subprocess.Popen[bytes]"
    host: str
    port: int
    admin_port: int

    def ask(self, query: bytes, *, timeout_s: float = 5.0) -> bytes:
        """One UDP query; the answer to another is skipped."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(timeout_s)
            client.sendto(query, (self.host, self.port))
            while True:
                reply = client.recv(65535)
                if reply[:2] == query[:2]:
                    return reply

    def counters(self) -> dict[str, float]:
        """`/metrics`, without the prefix of the names."""
        with urllib.request.urlopen(self._admin("metrics"), timeout=5.0) as page:
            text = page.read().decode()
        return {name.removeprefix("sluice_dns_"): value for name, value in parse_exposition(text)}

    def health(self) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(self._admin("healthz"), timeout=5.0) as page:
                return dict(json.load(page))
        except urllib.error.HTTPError as error:
            with error:
                return dict(json.load(error))

    def _admin(self, page: str) -> str:
        return f"http://127.0.0.1:{self.admin_port}/{page}"


def wait_until(condition: Callable[[], bool], what: str, deadline_s: float = _DEADLINE_S) -> None:
    """Polls; raises NotReady."""
    end = time.monotonic() + deadline_s  # noqa: TID251 - a real process has a real clock
    while not condition():
        if time.monotonic() > end:  # noqa: TID251
            raise NotReady(f"{what} did not happen within {deadline_s} s")
        time.sleep(0.02)


@contextmanager
def serving(map_path: Path, *more: str, log: Path | None = None) -> Iterator[Server]:
    """`sluice-dns serve` over a map file, until the block ends."""
    admin_port = free_port()
    argv = ["serve", "--map", str(map_path), "--listen", "127.0.0.1:0"]
    with started([*argv, "--admin", f"127.0.0.1:{admin_port}", *more], log=log) as process:
        host, port = announced(process)
        yield Server(process, host, port, admin_port)


@contextmanager
def started(argv: Sequence[str], *, log: Path | None = None) -> Iterator["subprocess.Popen[bytes]"]:
    """Any `sluice-dns` command; ended by SIGTERM, which must be a clean end."""
    with (log or Path("/dev/null")).open("ab") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "sluice_dns.main", *argv],
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
    with process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise
        process.send_signal(signal.SIGTERM)
        try:
            returncode = process.wait(_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        assert returncode == 0, f"SIGTERM ended {argv[0]} with {returncode}"


def announced(process: "subprocess.Popen[bytes]") -> tuple[str, int]:
    """Waits for the line that says that it answers: host and port."""
    assert process.stdout is not None
    line = process.stdout.readline()
    found = _STARTED.match(line)
    if found is None:
        raise NotReady(f"the server said {line!r} instead of where it answers")
    return found.group(1).decode(), int(found.group(2))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
