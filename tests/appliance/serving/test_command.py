"""`sluice-appliance serve` as people type it, and mistype it."""

import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from appliance.serving.serve_process import free_port


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sluice_appliance.main", "serve", *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--listen", "nonsense"], ["--listen", "nonsense", "HOST:PORT"]),
        (["--listen", "127.0.0.1:70000"], ["--listen", "70000"]),
        (["--listen", "192.0.2.77:0"], ["--listen", "192.0.2.77:0"]),
        (["--listen", "127.0.0.1:0", "--workers", "0"], ["--workers", "'0'", "1..256"]),
        (["--listen", "127.0.0.1:0", "--tls-cert", "a"], ["--tls-cert and --tls-key"]),
        (
            ["--listen", "127.0.0.1:0", "--tls-cert", "nowhere", "--tls-key", "nowhere"],
            ["nowhere", "--tls-cert"],
        ),
    ],
)
def test_a_wrong_option_is_one_line_that_names_it(
    tmp_path: Path, options: list[str], words: list[str]
) -> None:
    done = run("--store", str(tmp_path), *options)
    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if not line.startswith(("usage:", " ")))
    for word in words:
        assert word in line


def test_a_store_that_is_not_there_is_named() -> None:
    done = run("--store", "/nowhere/at/all", "--listen", "127.0.0.1:0")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "/nowhere/at/all" in done.stderr


@pytest.mark.parametrize("option", ["--listen", "--admin"])
@pytest.mark.parametrize("shared", [False, True])
def test_a_port_in_use_is_one_line_with_the_address_and_the_option(
    tmp_path: Path, option: str, shared: bool
) -> None:
    with closing(socket.socket()) as other:
        if shared:
            # Another pool of ours: the kernel alone would let both have the port.
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        options = {"--listen": f"127.0.0.1:{free_port()}", option: taken}
        done = run("--store", str(tmp_path), *(word for pair in options.items() for word in pair))
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert str(other) not in line
    assert taken.rpartition(":")[2] in line
    assert f"(option {option})" in line


def test_help_shows_an_example() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "example: sluice-appliance serve --store" in done.stdout
