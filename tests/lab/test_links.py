"""What bounds unsent bytes, on links that loopback is not: a long round trip, and losses.

Each goodput is the better of two downloads: this machine's other work only ever takes away.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from appliance.serving.serve_process import put_object
from lab.two_networks import PORT, SERVER_ADDRESS, Networks, two_networks, why_not

from sluice_appliance.serving.unsent import CAP_BYTES

pytestmark = [pytest.mark.lab, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]

SIZE_BYTES = 24 * 1024 * 1024
RATE_MBIT, RTT_MS = 100.0, 100.0
DOWNLOAD_S = 8.0
# The kernel checks its bound before each piece that it takes, and a piece is at most this long.
PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Seen:
    goodput_mbit: float
    unsent_bytes_max: int


def test_the_rule_fills_a_long_path_as_the_kernel_does_and_a_fixed_buffer_does_not(
    tmp_path: Path,
) -> None:
    seen = {bound: _best(tmp_path, bound) for bound in ("kernel", "rule", "fixed")}
    assert seen["rule"].goodput_mbit >= 0.9 * seen["kernel"].goodput_mbit
    assert seen["fixed"].goodput_mbit < 0.7 * seen["kernel"].goodput_mbit
    assert seen["rule"].unsent_bytes_max <= CAP_BYTES + PIECE_BYTES


def test_a_box_fills_a_long_path_as_the_kernel_does_with_its_unsent_bytes_bounded(
    tmp_path: Path,
) -> None:
    kernel, ours = _best(tmp_path, "kernel"), _best(tmp_path, "serve")
    assert ours.goodput_mbit >= 0.9 * kernel.goodput_mbit
    assert ours.unsent_bytes_max <= CAP_BYTES + PIECE_BYTES


def test_random_losses_slow_the_rule_no_more_than_the_kernel(tmp_path: Path) -> None:
    kernel = _best(tmp_path, "kernel", loss=0.001)
    rule = _best(tmp_path, "rule", loss=0.001)
    assert rule.goodput_mbit >= 0.8 * kernel.goodput_mbit
    assert rule.unsent_bytes_max <= CAP_BYTES + PIECE_BYTES


def _best(folder: Path, bound: str, loss: float = 0.0) -> Seen:
    seen = [_download(folder, bound, loss, seed) for seed in (1, 2)]
    best = Seen(
        max(each.goodput_mbit for each in seen), max(each.unsent_bytes_max for each in seen)
    )
    print(
        f"\n{RATE_MBIT:g} Mbit/s, {RTT_MS:g} ms, loss {loss:g}, bound by {bound}:"
        f" {best.goodput_mbit:.1f} Mbit/s, at most {best.unsent_bytes_max // 1024} KiB unsent"
    )
    return best


def _download(folder: Path, bound: str, loss: float, seed: int) -> Seen:
    with two_networks(rate_mbit=RATE_MBIT, rtt_ms=RTT_MS, loss=loss, seed=seed) as networks:
        server = _box(networks, folder) if bound == "serve" else _sender(networks, folder, bound)
        with server:
            script = str(Path(__file__).with_name("download.py"))
            asked = (SERVER_ADDRESS, str(PORT), "/film/v1/a", str(DOWNLOAD_S))
            argv = networks.at_client(sys.executable, script, *asked)
            unsent = 0
            with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as client:
                while client.poll() is None:
                    unsent = max(unsent, networks.unsent_bytes())
                    time.sleep(0.05)
                assert client.stdout is not None
                received, seconds = map(float, client.stdout.read().split())
    return Seen(received * 8e-6 / seconds, unsent)


@contextmanager
def _sender(networks: Networks, folder: Path, bound: str) -> Iterator[None]:
    file = folder / "body"
    file.write_bytes(bytes(SIZE_BYTES))
    script = str(Path(__file__).with_name("sendfile_server.py"))
    argv = [sys.executable, script, SERVER_ADDRESS, str(PORT), str(file), bound]
    with _serving(networks.at_server(*argv)):
        yield


@contextmanager
def _box(networks: Networks, folder: Path) -> Iterator[None]:
    put_object(folder / "store", "film/v1/a", bytes(SIZE_BYTES))
    argv = [sys.executable, "-m", "sluice_appliance.main", "serve", "--workers", "1"]
    argv += ["--store", str(folder / "store"), "--listen", f"{SERVER_ADDRESS}:{PORT}"]
    with _serving(networks.at_server(*argv)):
        yield


@contextmanager
def _serving(argv: list[str]) -> Iterator[None]:
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("serving")
            yield
        finally:
            process.terminate()
