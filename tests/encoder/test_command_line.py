import json
import os
import subprocess
from pathlib import Path

import pytest
from encoder.conftest import PROGRAM

VERBS = ("add", "encode", "probe", "clip", "film", "origin", "check-config")


def _run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **env},
    )


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_shows_an_example(verb: str) -> None:
    done = _run(verb, "--help")

    assert done.returncode == 0
    assert f"example: sluice-encoder {verb}" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("encode", "f", "--title-id", "A!", "--out", "o", "--work", "w"), "title id 'A!'"),
        (("encode", "f", "--title-id", "a", "--out", "o"), "--work DIR"),
        (("origin", "--root", "/nowhere", "--listen", "127.0.0.1:0"), "is not a folder"),
        (("origin", "--root", "/", "--listen", "8090"), "expected HOST:PORT"),
        (("clip", "--out", "x", "--seconds", "-1"), "no number of 0.1..3600"),
    ],
)
def test_a_wrong_command_line_is_said_in_words_and_exits_2(
    arguments: tuple[str, ...], words: str
) -> None:
    done = _run(*arguments)

    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("crff = 5", "unknown key 'crff'; did you mean 'crf'?"),
        ("crf = 99", "crf is 99, expected 0..51"),
        ('preset = "fastest"', "preset is 'fastest', expected one of"),
        ("ladder_heights = [360, 720]", "expected the largest first"),
        ('segment_seconds = "two"', "'segment_seconds' is 'two', expected a value of type float"),
    ],
)
def test_a_wrong_setting_is_named_with_its_line(tmp_path: Path, line: str, reason: str) -> None:
    file = tmp_path / "encoder.toml"
    file.write_text(f"# ours\n{line}\n")

    done = _run("check-config", str(file))

    assert done.returncode == 2
    assert done.stderr.startswith(f"sluice-encoder: {file}:2: ")
    assert reason in done.stderr


def test_a_film_that_cannot_be_had_becomes_a_test_pattern_that_says_so(tmp_path: Path) -> None:
    done = _run("film", "--out", str(tmp_path / "film.mp4"), "--json-progress", PATH="/nowhere")

    last = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    assert last["film"] == "test-pattern"
    assert "npm is not installed" in last["instead_because"]
    assert json.loads(_run("probe", str(tmp_path / "film.mp4"), "--json").stdout)["width"] == 1280
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]
