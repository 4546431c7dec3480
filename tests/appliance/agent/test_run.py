"""`sluice-appliance run` as a real process, with a scripted control plane."""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from appliance.agent.scripted_control_plane import Authority, Script, serving
from appliance.deadline import until
from appliance.fill.scripted_source import ScriptedSource
from appliance.fill.signing import message, signed

from sluice.fill.v1 import fill_pb2
from sluice_appliance.store.store import Store

BODY = random.Random(9).randbytes(70_000)
KEY = "film/v1/0.mp4"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Box:
    """A configuration file and the process that runs by it."""

    def __init__(self, root: Path, **settings: object) -> None:
        self.root = root
        self.data, self.admin = free_port(), free_port()
        self.config = root / "config.toml"
        self.settings: dict[str, object] = {
            "appliance": "a-1",
            "store": "store",
            "capacity_bytes": 1 << 30,
            "listen": f"127.0.0.1:{self.data}",
            "admin_listen": f"127.0.0.1:{self.admin}",
            "control_plane": "127.0.0.1:1",
            "enrolment": "127.0.0.1:1",
            "certificate_authority": "pinned-ca.pem",
            "identity": "identity",
            "enrolment_token": "the-token",
        }
        self.write(**settings)

    def write(self, **settings: object) -> None:
        self.settings |= settings
        text = "".join(
            f"{k} = {json.dumps(v)}\n" for k, v in self.settings.items() if v is not None
        )
        self.config.write_text(text)

    def command(self, verb: str = "run") -> list[str]:
        config = ["--config", str(self.config)] if verb == "run" else [str(self.config)]
        return [sys.executable, "-m", "sluice_appliance.main", verb, *config]

    def refused(self, verb: str = "run") -> str:
        """The one line with which it refuses."""
        done = subprocess.run(self.command(verb), capture_output=True, text=True, timeout=60)
        assert done.returncode == 2, done.stderr
        (line,) = done.stderr.splitlines()
        return line

    @contextmanager
    def running(self) -> Iterator["subprocess.Popen[str]"]:
        with (self.root / "log").open("a") as log:
            process = subprocess.Popen(self.command(), stderr=log, text=True)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0, (self.root / "log").read_text()

    def get(self, port: int, path: str) -> bytes | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            error.close()
            return None
        except OSError:
            return None

    def health(self) -> dict[str, object]:
        return dict(json.loads(self.get(self.admin, "/healthz") or b"{}"))


def test_a_box_serves_before_it_has_a_control_plane_and_fills_when_there_is_one(
    tmp_path: Path,
) -> None:
    script = Script(Authority())
    (tmp_path / "pinned-ca.pem").write_bytes(script.authority.pem)
    script.publish(signed(message(4, {"film": [BODY]})))
    ports = free_port(), free_port()
    box = Box(tmp_path, control_plane=f"127.0.0.1:{ports[0]}", enrolment=f"127.0.0.1:{ports[1]}")

    async def story() -> None:
        await until("it serves", lambda: box.health().get("healthy"))
        assert box.health()["enrolled"] is False
        assert box.get(box.data, f"/{KEY}") is None
        async with (
            ScriptedSource({KEY: BODY}).serving() as source,
            serving(script, tmp_path / "server", port=ports[0], enrolment_port=ports[1]),
        ):
            script.sources = [
                fill_pb2.FillSource(
                    source_id="origin",
                    kind=fill_pb2.FILL_SOURCE_KIND_ORIGIN,
                    base_url=f"{source.base_url}good/",
                )
            ]
            await until("filled", lambda: script.last_report().held_objects == 1, within_s=40)
            served = await asyncio.to_thread(box.get, box.data, f"/{KEY}")
            assert served == BODY
            await until("bytes told", lambda: script.heartbeats[-1].sent_bytes_total == len(BODY))
            assert script.heartbeats[-1].serving
        metrics = (box.get(box.admin, "/metrics") or b"").decode()
        assert 'sluice_appliance_fill_objects_total{source="origin"} 1.0' in metrics
        assert f"sluice_appliance_stored_bytes {float(len(BODY))}" in metrics
        assert box.get(box.data, f"/{KEY}") == BODY

    with box.running():
        asyncio.run(story())
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_the_process_that_fills_leaves_a_core_to_each_worker_and_workers_have_all(
    tmp_path: Path,
) -> None:
    cores = os.sched_getaffinity(0)
    box = Box(tmp_path, control_plane="127.0.0.1:1", enrolment="127.0.0.1:1")
    with box.running() as process:
        asyncio.run(until("it serves", lambda: box.health().get("healthy")))
        [worker] = psutil.Process(process.pid).children()
        assert os.sched_getaffinity(process.pid) == set(sorted(cores)[1:] or cores)
        threads = {thread.id for thread in psutil.Process(worker.pid).threads()}
        assert all(os.sched_getaffinity(thread) == cores for thread in threads)


def test_what_stands_against_a_start_is_one_line_that_names_its_setting(tmp_path: Path) -> None:
    (tmp_path / "pinned-ca.pem").write_bytes(Authority().pem)
    box = Box(tmp_path)
    with socket.create_server(("127.0.0.1", box.data)):
        assert f"127.0.0.1:{box.data}: Address already in use (setting 'listen')" in box.refused()
    with socket.create_server(("127.0.0.1", box.admin)):
        line = box.refused()
        assert f"127.0.0.1:{box.admin}: Address already in use (setting 'admin_listen')" in line
    with Store.open(tmp_path / "store"):
        assert "in use by process" in box.refused()
    box.write(store="config.toml")
    assert "(setting 'store')" in box.refused()
    box.write(store="store")
    box.write(enrolment_token=None)
    assert "'enrolment_token' is missing" in box.refused()
    (tmp_path / "identity").mkdir()
    (tmp_path / "identity" / "cert.pem").write_text("noise")
    assert "(setting 'identity')" in box.refused()


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("appliance", "A 1", "appliance is 'A 1', expected 1..63 of a-z, 0-9 and '-'"),
        ("capacity_bytes", 0, "capacity_bytes is 0, expected 1.."),
        ("listen", "127.0.0.1", "listen is '127.0.0.1', expected HOST:PORT or [V6]:PORT"),
        ("listen", "::1:80", "listen is '::1:80', expected HOST:PORT or [V6]:PORT"),
        ("listen", "0.0.0.0:8081", "set advertise_ipv4 or advertise_ipv6"),
        ("admin_listen", "h:70000", "has port '70000', expected 0..65535"),
        ("advertise_ipv6", "10.0.0.1", "expected an IPv6 address"),
        ("workers", 0, "workers is 0, expected 1..256"),
        ("client_connections", -1, "client_connections is -1, expected 0..1000000"),
        ("fill_stall_s", 0.0, "fill_stall_s is 0.0, expected 0.1..3600.0"),
        ("tls_key", "key.pem", "tls_certificate is missing"),
        ("fill_concurency", 4, "did you mean 'fill_concurrency'?"),
    ],
)
def test_a_wrong_setting_is_named_with_file_and_line_by_run_and_check_config_alike(
    tmp_path: Path, setting: str, value: object, said: str
) -> None:
    box = Box(tmp_path, **{setting: value})
    line = box.refused("check-config")
    assert line.startswith(f"{box.config}")
    assert said in line
    if setting == "workers":
        assert box.refused() == line


def test_a_configuration_without_mistakes_is_ok(tmp_path: Path) -> None:
    box = Box(tmp_path, listen="0.0.0.0:8081", advertise_ipv4="192.0.2.1")
    done = subprocess.run(box.command("check-config"), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, f"{box.config}: ok\n")


DISK = '\n[[disks]]\npath = "{}"\ncapacity_bytes = 1000\n'


def with_disks(box: Box, *disks: str, capacity_bytes: int = 0) -> None:
    box.write(capacity_bytes=capacity_bytes)
    with box.config.open("a") as config:
        config.write("".join(DISK.format(disk) for disk in disks))


def test_a_box_takes_its_disks_from_the_configuration_and_names_what_is_wrong_with_them(
    tmp_path: Path,
) -> None:
    (tmp_path / "pinned-ca.pem").write_bytes(Authority().pem)
    box = Box(tmp_path)
    (tmp_path / "a").mkdir()
    with_disks(box, "a", capacity_bytes=5)
    assert "capacity_bytes is 5, expected none: each of the disks has its own" in box.refused()
    with_disks(box, "a", "a")
    assert "disks name" in box.refused()
    with_disks(box, "a", "absent")
    assert "absent: no such folder (setting 'disks')" in box.refused()
    with box.config.open("a") as config:
        config.write('tier = "tape"\n')
    assert "disks.tier is 'tape', expected one of auto, ssd, hdd" in box.refused()
    with_disks(box, "a")
    with box.running():
        asyncio.run(until("it serves", lambda: box.health().get("healthy")))
        metrics = (box.get(box.admin, "/metrics") or b"").decode()
    told = f'disk="{tmp_path / "a"}",state="in_use",tier='
    assert f"sluice_appliance_disk_in_state{{{told}" in metrics
    assert (tmp_path / "a" / "objects").is_dir()
    assert not (tmp_path / "store" / "objects").exists()
