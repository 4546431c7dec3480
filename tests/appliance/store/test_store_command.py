"""`sluice-appliance store` as people type it."""

import argparse
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pytest
from appliance.store.damage import BODY, DAMAGE, KEYS, put, put_version_1

from sluice_appliance.store import command
from sluice_appliance.store.checking import Finding, Verdict
from sluice_appliance.store.disks import DiskSpec
from sluice_appliance.store.store import Store


class Told(NamedTuple):
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


def run_store(*args: str | Path) -> Told:
    """In this process: a start costs half a second."""
    parser = argparse.ArgumentParser()
    command.add_to(parser.add_subparsers(), clock=lambda: 0.0)
    arguments = parser.parse_args(["store", *map(str, args)])
    with redirect_stdout(StringIO()) as said, redirect_stderr(StringIO()) as complained:
        code = arguments.act(arguments)
    return Told(code, said.getvalue(), complained.getvalue())


def run_program(*args: str | Path) -> Told:
    """The real program, whose log goes its own way."""
    words = ["-m", "sluice_appliance.main", "store", *map(str, args)]
    told = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=60)
    return Told(told.returncode, told.stdout, told.stderr)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two sound objects, one of version 1, one cut short, one of which a bit flipped."""
    with Store.open(tmp_path) as store:
        put(store, KEYS[0])
        put(store, KEYS[1], b"small")
        put_version_1(tmp_path, KEYS[2])
        DAMAGE["empty"](put(store, KEYS[3]))
        DAMAGE["a bit of the last byte"](put(store, KEYS[4]))
    return tmp_path


def test_ls_names_every_object_beside_who_owns_the_store(root: Path) -> None:
    with Store.open(root):
        told = run_store("ls", "--store", root)
        as_json = run_store("ls", "--store", root, "--json")
    assert (told.returncode, told.stderr) == (0, "")
    lines = set(told.stdout.splitlines())
    assert f"{len(BODY):15} ssd 2 {KEYS[0]}" in lines
    assert f"{5:15} ssd 2 {KEYS[1]}" in lines
    assert f"{len(BODY):15} ssd 1 {KEYS[2]}" in lines
    assert len(lines) == 5
    listed = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert {each.get("key") for each in listed} == {None, *KEYS[:3], KEYS[4]}
    [damaged] = [each for each in listed if "key" not in each]
    assert damaged["damaged"] == "the header page has 0 bytes, expected 4096"


def test_stats_add_up_what_each_disk_holds(root: Path) -> None:
    told = run_store("stats", "--store", root, "--json")
    assert (told.returncode, told.stderr) == (0, "")
    assert json.loads(told.stdout) == {
        "disk": str(root),
        "tier": "ssd",
        "objects": 4,
        "bytes": 3 * len(BODY) + 5,
        "of_version_1": 1,
        "damaged": 1,
        "partial": 0,
        "quarantined": 0,
        "quarantined_bytes": 0,
    }
    assert f"objects 4  bytes {3 * len(BODY) + 5}" in run_store("stats", "--store", root).stdout


@pytest.mark.parametrize("whole", [[], ["--whole"]])
def test_verify_finds_what_is_damaged_and_touches_nothing(root: Path, whole: list[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    with Store.open(root):
        told = run_store("verify", "--store", root, "--json", *whole)
    *found, counted = map(json.loads, told.stdout.splitlines())
    assert (told.returncode, told.stderr) == (1, "")
    assert {each["key"]: each["reason"] for each in found} == {
        "": "the header page has 0 bytes, expected 4096",
        KEYS[4]: "block 2 is not what it was",
    }
    assert (counted["sound"], counted["damaged"]) == (3, 2)
    after = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    # Which the owner wrote.
    assert {path for path in after if after[path] != before.get(path)} <= {root / "lock"}


def test_verify_of_one_object_says_of_it_alone(root: Path) -> None:
    sound = run_store("verify", "--store", root, KEYS[0])
    assert (sound.returncode, sound.stdout) == (0, "objects: 1 sound\n")
    damaged = run_store("verify", "--store", root, KEYS[4])
    said = f"damaged {KEYS[4]}: block 2 is not what it was\nobjects: 1 damaged\n"
    assert (damaged.returncode, damaged.stdout) == (1, said)
    absent = run_store("verify", "--store", root, "film/v1/absent.mp4")
    assert absent.returncode == 2
    assert absent.stderr == "sluice-appliance store: film/v1/absent.mp4 is not held\n"


def test_rebuild_leaves_only_sound_objects_of_the_layout_of_today(root: Path) -> None:
    told = run_program("rebuild", "--store", root, "--json")
    *found, counted = map(json.loads, told.stdout.splitlines())
    assert told.returncode == 1
    assert len(found) == counted["damaged"] == 2
    assert (counted["sound"], counted["upgraded"]) == (2, 1)
    again = run_store("rebuild", "--store", root)
    assert (again.returncode, again.stdout) == (0, "objects: 3 sound\n")
    assert len(list((root / "quarantine").iterdir())) == 2


def test_rebuild_brings_files_home_whatever_they_are_called(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        paths = [put(store, key) for key in KEYS[:3]]
    lost = tmp_path / "objects" / "lost+found"
    lost.mkdir()
    paths[0].rename(lost / "#1234")
    DAMAGE["a bit of the last byte"](paths[1])
    paths[1].rename(lost / "#1235")
    (lost / "noise").write_bytes(os.urandom(5000))
    with Store.open(tmp_path) as store:
        assert [header.key for header in store.scan()] == [KEYS[2]]
        steps = store.rebuild(str(tmp_path))
        verdicts = [step.verdict for step in steps if isinstance(step, Finding)]
        assert sorted(each.value for each in verdicts) == ["damaged", "sound", "sound"]
        assert store.held(KEYS[0]) is not None
        assert store.held(KEYS[1]) is None
        assert Verdict.GONE not in verdicts
    assert [path.name for path in lost.iterdir()] == ["noise"]


def test_rebuild_lets_no_stray_file_replace_what_is_held(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        stray = put(store, KEYS[0], b"stray").rename(tmp_path / "objects" / "stray")
        put(store, KEYS[0], b"held!")
        for _ in store.rebuild(str(tmp_path)):
            pass
        assert b"held!" in Path(store.path_of(KEYS[0])).read_bytes()
        assert stray.exists()


def test_a_store_that_is_owned_is_not_rebuilt_and_a_folder_that_is_none_is_said_so(
    tmp_path: Path,
) -> None:
    with Store.open(tmp_path):
        told = run_store("rebuild", "--store", tmp_path)
    assert told.returncode == 2
    assert f"in use by process {os.getpid()}" in told.stderr
    for word in ("ls", "stats", "verify", "rebuild"):
        told = run_store(word, "--store", tmp_path / "absent")
        assert told.returncode == 2
        assert told.stderr == f"sluice-appliance store: {tmp_path / 'absent'} is no folder\n"


def test_a_disk_that_was_left_alone_is_used_again_when_somebody_says_so(tmp_path: Path) -> None:
    root, disk = tmp_path / "store", tmp_path / "disk"
    disk.mkdir()
    specs = [DiskSpec(disk, 1 << 30)]
    with Store.open(root, specs) as store:
        put(store, KEYS[0])
        store._members[0].fail("Input/output error", is_bad=True)
        refused = run_store("readmit", "--store", root, disk)
        assert (refused.returncode, "in use by process" in refused.stderr) == (2, True)
    # Who looks into the store sees what is there.
    assert KEYS[0] in run_store("ls", "--store", root).stdout
    told = run_store("readmit", "--store", root, disk)
    assert told == Told(
        0,
        f"{disk} is used again from the next start on; it was left alone: Input/output error\n",
        "",
    )
    with Store.open(root, specs) as store:
        assert store.held(KEYS[0])
    for path, why in ((disk, "is not left alone"), (tmp_path, "is no disk of the store")):
        told = run_store("readmit", "--store", root, path)
        assert (told.returncode, told.stdout) == (2, "")
        assert told.stderr.startswith(f"sluice-appliance store: {path} {why}")
        assert told.stderr.count("\n") == 1
