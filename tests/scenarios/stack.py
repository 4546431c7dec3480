"""The whole system as a user runs it: `sluice up` in a process of its own, and the commands beside it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dns.edns
import dns.message
import dns.query
import dns.rdatatype

from sluice_runtime.metrics import parse_exposition

SCRIPTS = Path(sys.executable).parent
APPLIANCES = {"a-1": "127.0.10.1", "a-2": "127.0.10.2", "b-1": "127.0.20.1", "b-2": "127.0.20.2"}
ZONE = "v.sluice.test"
READY_TIMEOUT_S = 240.0


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def until(what: str, holds: Callable[[], Any], *, within_s: float, every_s: float = 0.1) -> Any:
    """Asks until the answer is true and returns it; fails with `what` after `within_s`."""
    deadline = time.monotonic() + within_s
    while True:
        answer = holds()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {within_s:.1f} s: {what}"
        time.sleep(every_s)


@dataclass
class Stack:
    """A running `sluice up`."""

    state: Path
    ports: dict[str, int]
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def wait_for_line(self, text: str, *, within_s: float) -> str:
        def found() -> str | None:
            if self.process.poll() is not None:
                raise AssertionError("sluice up ended:\n" + "\n".join(self.lines))
            return next((line for line in list(self.lines) if text in line), None)

        return str(until(f"a line with {text!r}", found, within_s=within_s))

    def sluice(self, *arguments: str, timeout_s: float = 90.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(SCRIPTS / "sluice"), *arguments, "--state", str(self.state)],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def facts(self, *arguments: str) -> Any:
        """The JSON of a command that must succeed."""
        done = self.sluice(*arguments, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def playing(self, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
        """`sluice play ... --json` beside the test."""
        player = subprocess.Popen(
            [
                *(str(SCRIPTS / "sluice"), "play", *arguments),
                *("--json", "--state", str(self.state)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield player
        finally:
            if player.poll() is None:
                player.kill()
            player.communicate()

    def ask(self, name: str, client: str, kind: str = "A") -> dns.message.Message:
        """Our DNS server's answer to a resolver that speaks for `client`."""
        bits = 56 if ":" in client else 24
        query = dns.message.make_query(
            name, kind, use_edns=0, options=[dns.edns.ECSOption(client, bits)]
        )
        return dns.query.udp(query, "127.0.0.1", port=self.ports["dns"], timeout=3.0)

    def named(self, bucket: int, client: str) -> list[str]:
        """The addresses that DNS names for a bucket, in order."""
        answer = self.ask(f"b{bucket:04d}.{ZONE}", client)
        return [
            record.to_text()
            for rrset in answer.answer
            if rrset.rdtype == dns.rdatatype.A
            for record in rrset
        ]

    def counters(self, name: str) -> dict[str, float]:
        """Every sample of a process's metrics page."""
        admin = {entry["name"]: entry["admin"] for entry in self.up()["processes"]}[name]
        with urllib.request.urlopen(f"{admin}/metrics", timeout=5) as page:
            return dict(parse_exposition(page.read().decode()))

    def up(self) -> Any:
        return json.loads((self.state / "up.json").read_text())

    def pid_of(self, name: str) -> int | None:
        """The process that `sluice up` keeps under `name`, found among its children."""
        marks = {"origin": "origin", "control-plane": "sluice-control-plane", "dns": "sluice-dns"}
        mark = marks.get(name, f"/{name}/config.toml")
        for pid in _children(self.process.pid):
            with contextlib.suppress(OSError):
                if mark in Path(f"/proc/{pid}/cmdline").read_bytes().decode().replace("\0", " "):
                    return pid
        return None

    def kill(self, name: str) -> None:
        """SIGKILL to a program and everything that it started."""
        pid = self.pid_of(name)
        assert pid is not None, f"{name} does not run"
        os.killpg(pid, signal.SIGKILL)

    def logs(self) -> dict[str, str]:
        return {path.stem: path.read_text() for path in (self.state / "logs").glob("*.log")}

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=60)


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def port_options(ports: dict[str, int]) -> list[str]:
    return [part for name, port in ports.items() for part in (f"--{name}-port", str(port))]


def free_ports() -> dict[str, int]:
    names = (
        *("gateway", "dns", "control-plane", "enrolment", "origin", "data"),
        *("appliance-admin", "control-plane-admin", "dns-admin", "origin-admin"),
    )
    ports: dict[str, int] = {}
    while len(ports) < len(names):
        port = free_port()
        if port not in ports.values():
            ports[names[len(ports)]] = port
    return ports


@contextlib.contextmanager
def running_stack(
    state: Path, *options: str, ports: dict[str, int] | None = None, ready: bool = True
) -> Iterator[Stack]:
    """`sluice up` until the block ends; what it said is shown when it did not come up."""
    ports = ports or free_ports()
    process = subprocess.Popen(
        [str(SCRIPTS / "sluice"), "up", "--state", str(state), *port_options(ports), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
    )
    stack = Stack(state, ports, process)
    assert process.stdout is not None
    output = process.stdout

    def read() -> None:
        for line in output:
            stack.lines.append(line.rstrip("\n"))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        if ready:
            stack.wait_for_line("ready http://", within_s=READY_TIMEOUT_S)
        yield stack
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        reader.join(timeout=10)
        output.close()


def make_clip(path: Path, *, seconds: int = 12) -> Path:
    """A small test film."""
    subprocess.run(
        [
            *(str(SCRIPTS / "sluice-encoder"), "clip", "--out", str(path)),
            *("--seconds", str(seconds), "--width", "640", "--height", "360"),
        ],
        check=True,
        capture_output=True,
    )
    return path
