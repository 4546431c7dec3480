"""`sluice-services run` as a real process, and how to ask it."""

import contextlib
import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sluice_runtime.metrics import parse_exposition

PROGRAM = Path(sys.executable).parent / "sluice-services"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, its header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Gateway:
    """A running gateway."""

    process: subprocess.Popen[bytes]
    log: Path
    host: str = ""
    port: int = 0
    state: Path = field(default_factory=Path)

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        from_address: str | None = None,
    ) -> Answer:
        source = None if from_address is None else (from_address, 0)
        connection = http.client.HTTPConnection(
            self.host, self.port, timeout=10, source_address=source
        )
        with contextlib.closing(connection):
            raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request(method, path, raw, dict(headers or {}))
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, named, response.read())

    def playback(self, **body: object) -> Answer:
        return self.ask("POST", "/v1/playback", body)

    def counter(self, sample: str) -> float:
        text = self.ask("GET", "/metrics").body.decode()
        return dict(parse_exposition(text)).get(sample, 0.0)

    def health(self) -> Any:
        return self.ask("GET", "/healthz").json

    def until_healthy(self) -> None:
        until("healthy", lambda: self.ask("GET", "/healthz").status == 200, self)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=20)

    @property
    def events(self) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


def until(what: str, holds: Callable[[], Any], gateway: Gateway | None = None) -> Any:
    """Asks until the answer is true; fails after ten seconds with the gateway's log."""
    deadline = time.monotonic() + 10
    while True:
        if answer := holds():
            return answer
        said = "" if gateway is None else gateway.log.read_text()
        assert time.monotonic() < deadline, f"not within 10 s: {what}\n{said}"
        time.sleep(0.02)


@contextlib.contextmanager
def running(config: Path) -> Iterator[Gateway]:
    """The gateway of a configuration, until the block ends."""
    log = config.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(PROGRAM), "run", "--config", str(config)], stdout=output, stderr=output
        )
    gateway = Gateway(process, log)
    try:
        until("listening", lambda: process.poll() is not None or _address(gateway), gateway)
        assert process.poll() is None, log.read_text()
        host, _, port = _address(gateway).rpartition(":")
        gateway.host, gateway.port = host.strip("[]"), int(port)
        yield gateway
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=20)
            finally:
                process.kill()
                process.wait()


def _address(gateway: Gateway) -> str:
    said = [event["address"] for event in gateway.events if event["event"] == "listening"]
    return str(said[0]) if said else ""


def write_config(folder: Path, control_plane_port: int, identity: Path, **more: object) -> Path:
    settings: dict[str, object] = {
        "listen": "127.0.0.1:0",
        "control_plane": f"127.0.0.1:{control_plane_port}",
        "identity": str(identity),
        "state": str(folder / "state"),
        **more,
    }
    path = folder / "services.toml"
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
    return path
