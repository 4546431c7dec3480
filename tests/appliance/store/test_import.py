"""`sluice-appliance import` as people type it."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sluice_appliance.object_key import parse_key
from sluice_appliance.store.importing import guess_content_type
from sluice_appliance.store.layout import object_path
from sluice_appliance.store.reading import open_object
from sluice_appliance.store.store import Store

KEY = parse_key("film/v1/a.mp4")


def run_import(*args: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "sluice_appliance.main", "import", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_file_is_held_under_its_key_and_a_second_import_replaces_it(tmp_path: Path) -> None:
    file = tmp_path / "film.mp4"
    for body in (os.urandom(3_000_000), b"shorter"):
        file.write_bytes(body)
        done = run_import("--store", tmp_path / "store", "--key", KEY, file)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"{KEY} {len(body)} bytes video/mp4\n"
        with Store.open(tmp_path / "store") as store:
            header = store.held(KEY)
        assert header is not None
        assert header.sha256 == hashlib.sha256(body).digest()
        with open_object(object_path(str(tmp_path / "store"), KEY)) as there:
            assert there.read(0, len(body)) == body


def test_a_store_that_is_owned_is_not_written_and_one_line_says_by_whom(tmp_path: Path) -> None:
    file = tmp_path / "film.mp4"
    file.write_bytes(b"film")
    with Store.open(tmp_path / "store"):
        done = run_import("--store", tmp_path / "store", "--key", KEY, file)
    assert done.returncode == 2
    assert done.stderr == (
        f"sluice-appliance import: the store {tmp_path / 'store'} is in use by process"
        f" {os.getpid()}\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--key", "../../etc/passwd", "FILE"], "is no object key"),
        (["--key", "a", "FILE.absent"], "FILE.absent is not a file"),
        (["--key", "a", "--content-type", "a\r\nX: y", "FILE"], "content_type is"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line_and_exit_code_2(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "FILE").write_bytes(b"film")
    arguments[-1] = str(tmp_path / arguments[-1])
    done = run_import("--store", tmp_path / "store", *arguments)
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("master.m3u8", "application/vnd.apple.mpegurl"),
        ("manifest.mpd", "application/dash+xml"),
        ("a.mp4", "video/mp4"),
        ("integrity.json", "application/json"),
        ("noise", "application/octet-stream"),
    ],
)
def test_players_are_told_the_media_type_that_they_expect(name: str, media_type: str) -> None:
    assert guess_content_type(parse_key(f"film/v1/{name}")) == media_type
