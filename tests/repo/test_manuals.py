"""Each program's manual page tells every setting and every counter, and each command shows an example."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from repo.tree import PACKAGES, ROOT, parsed

PROGRAMS = {folder: package for folder, package in PACKAGES.items() if folder != "runtime"}
METRIC_KINDS = {
    "Counter",
    "CounterMetricFamily",
    "CounterSpec",
    "Gauge",
    "GaugeMetricFamily",
    "Histogram",
    "HistogramSpec",
    "Summary",
}
SCRIPTS = sorted(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"])
every_program = pytest.mark.parametrize("folder", sorted(PROGRAMS))


def manual(folder: str) -> str:
    page = ROOT / folder / "README.md"
    assert page.exists(), f"write {folder}/README.md: what it does, for whom, how to run it"
    return page.read_text(encoding="utf-8")


def module(folder: str, name: str) -> ast.Module:
    path = ROOT / folder / PROGRAMS[folder] / name
    return parsed(path) if path.exists() else ast.Module([], [])


def settings(folder: str) -> list[str]:
    """Fields made by `setting(...)` in the program's config.py."""
    return [
        node.target.id
        for node in ast.walk(module(folder, "config.py"))
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func).rpartition(".")[2] == "setting"
    ]


def counters(folder: str) -> list[str]:
    """Names of the metrics declared in the metrics.py of the program and of its folders."""
    package = ROOT / folder / PROGRAMS[folder]
    calls = [
        node
        for path in sorted(package.rglob("metrics.py"))
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] in METRIC_KINDS
        and (node.args or node.keywords)
    ]
    names = []
    for call in calls:
        first = call.args[0] if call.args else call.keywords[0].value
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            # Prometheus shows a Counter with `_total`, whether its declaration says so or not.
            counts = ast.unparse(call.func).startswith("Counter")
            names.append(first.value.removesuffix("_total") + ("_total" if counts else ""))
    return names


def tells(page: str, name: str) -> bool:
    return re.search(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])", page) is not None


@every_program
def test_the_manual_tells_every_setting_of_its_program(folder: str) -> None:
    page = manual(folder)
    untold = [name for name in settings(folder) if not tells(page, name)]
    assert not untold, f"{folder}/README.md says nothing of {untold}"


@every_program
def test_the_manual_tells_every_counter_of_its_program(folder: str) -> None:
    page = manual(folder)
    untold = sorted({name for name in counters(folder) if not tells(page, name)})
    assert not untold, f"{folder}/README.md says nothing of {untold}"


@every_program
def test_every_counter_carries_the_name_of_its_project(folder: str) -> None:
    foreign = [name for name in counters(folder) if not name.startswith("sluice_")]
    assert not foreign, f"an operator's Prometheus has others' counters too: {foreign}"


@every_program
def test_the_manual_shows_a_command_that_can_be_typed(folder: str) -> None:
    assert re.search(r"^ *(?:\$ )?sluice[a-z-]* ", manual(folder), re.MULTILINE)


@cache
def help_of(*words: str) -> str:
    said = subprocess.run(
        [Path(sys.executable).parent / words[0], *words[1:], "--help"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "100", "TERM": "dumb"},
    )
    assert said.returncode == 0, f"{' '.join(words)} --help exits {said.returncode}: {said.stderr}"
    return said.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_command_answers_help_with_an_example(script: str) -> None:
    assert "example" in help_of(script).lower(), f"{script} --help shows no example"


@pytest.mark.parametrize("script", [script for script in SCRIPTS if script != "sluice"])
def test_every_subcommand_answers_help_with_an_example(script: str) -> None:
    # argparse lists them four blanks in, whatever the section is called.
    listing = help_of(script).partition("\nexample")[0]
    subcommands = re.findall(r"^ {4}([a-z][a-z0-9-]*)(?: {2}|$)", listing, re.MULTILINE)
    assert "check-config" in subcommands, f"{script} --help lists {subcommands}"
    mute = [each for each in subcommands if "example" not in help_of(script, each).lower()]
    assert not mute, f"show an example in the help of {script} {mute}"


def test_every_word_of_the_sluice_command_has_help_with_an_example() -> None:
    from sluice_cli.main import app  # the one command made by typer

    def leaves(command: Any, words: tuple[str, ...]) -> list[tuple[str, Any]]:
        # typer carries its own copy of click: a group is what has commands.
        if not (commands := getattr(command, "commands", None)):
            return [(" ".join(words), command)]
        return [leaf for name, each in commands.items() for leaf in leaves(each, (*words, name))]

    found = leaves(typer.main.get_command(app), ("sluice",))
    mute = [name for name, each in found if "example" not in f"{each.help}{each.epilog}".lower()]
    assert found
    assert not mute, f"show an example in the help of {mute}"


@pytest.mark.parametrize("script", [script for script in SCRIPTS if script != "sluice"])
def test_every_daemon_checks_a_configuration_and_names_the_line_of_a_mistake(
    script: str, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("\nno_such_setting = 1\n")
    said = subprocess.run(
        [Path(sys.executable).parent / script, "check-config", wrong],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 2, said.stdout + said.stderr
    words = said.stdout + said.stderr
    assert f"{wrong}:2: unknown key 'no_such_setting'" in words
    assert "Traceback" not in words
