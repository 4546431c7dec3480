"""Two network namespaces with `link.py` between them; needs root and /dev/net/tun, leaves nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lab.link import ADDRESSES, READY

SERVER_ADDRESS, CLIENT_ADDRESS = ADDRESSES["left"], ADDRESSES["right"]
PORT = 8081
_STOP_S = 10.0
_SERVER_KERNEL = {
    # What an earlier connection lost must not slow the next one down.
    "tcp_no_metrics_save": "1",
    # With its usual 4 MiB the kernel runs out of buffer where a long path loses much at once: lost
    # bytes stay in it with those in flight, and the smaller the pieces the sooner.
    "tcp_wmem": "4096 16384 16777216",
}


def why_not() -> str | None:
    """What is missing to make networks here; None where nothing is."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not Path("/dev/net/tun").exists():
        return "no /dev/net/tun"
    made = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    return None if made.returncode == 0 else "network namespaces are not allowed here"


@dataclass(slots=True)
class Networks:
    """A server's network and a client's; their only way to each other is the link."""

    server_pid: int
    client_pid: int
    # Of packets from server to client: carried, lost, overflowed. Known when the link has ended.
    told: dict[str, int] = field(default_factory=dict)

    def at_server(self, *argv: str) -> list[str]:
        return ["nsenter", "-t", str(self.server_pid), "-n", *argv]

    def at_client(self, *argv: str) -> list[str]:
        return ["nsenter", "-t", str(self.client_pid), "-n", *argv]

    def unsent_bytes(self) -> int:
        """What the server's connections hold unsent now, all together."""
        listing = self.at_server("ss", "-tinHO", "state", "established", "sport", "=", str(PORT))
        said = subprocess.run(listing, capture_output=True, text=True, check=True).stdout
        return sum(int(each) for each in re.findall(r"\bnotsent:(\d+)", said))


@contextmanager
def two_networks(
    *, rate_mbit: float, rtt_ms: float, loss: float = 0.0, seed: int = 1
) -> Iterator[Networks]:
    with ExitStack() as running:
        sides = [running.enter_context(_running(["unshare", "--net", "sleep", "60"])) for _ in "sc"]
        for side in sides:
            _until_apart(side.pid)
        networks = Networks(sides[0].pid, sides[1].pid)
        for setting, value in _SERVER_KERNEL.items():
            written = f"echo {value} > /proc/sys/net/ipv4/{setting}"
            subprocess.run(networks.at_server("sh", "-c", written), check=True)
        argv = ["unshare", "--net", sys.executable, str(Path(__file__).with_name("link.py"))]
        argv += ["--left", str(networks.server_pid), "--right", str(networks.client_pid)]
        argv += ["--rate-mbit", str(rate_mbit), "--rtt-ms", str(rtt_ms), "--loss", str(loss)]
        link = running.enter_context(_running([*argv, "--seed", str(seed)]))
        assert link.stdout is not None
        assert link.stdout.readline().strip() == READY
        yield networks
        link.send_signal(signal.SIGTERM)
        networks.told.update(json.loads(link.stdout.readline())[0])


@contextmanager
def _running(argv: list[str]) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()
            process.wait(_STOP_S)


def _until_apart(pid: int) -> None:
    """Waits until `unshare` has made its namespace: it becomes the program that it was given then."""
    while Path(f"/proc/{pid}/comm").read_text().strip() in ("unshare", Path(sys.executable).name):
        os.sched_yield()
    assert Path(f"/proc/{pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
