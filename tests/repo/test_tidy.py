"""The house rules that a linter does not know. Each message says what to do instead."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from repo.tree import ROOT, modules_of_tests, parsed, shown, sources, tracked

JUNK_DRAWERS = {
    "base",
    "common",
    "core",
    "helper",
    "helpers",
    "misc",
    "shared",
    "types",
    "util",
    "utils",
}
SOURCE_LINES_MAX = 450
LOCK_FILES = {
    "Pipfile.lock",
    "npm-shrinkwrap.json",
    "package-lock.json",
    "pnpm-lock.yaml",
    "poetry.lock",
    "uv.lock",
    "yarn.lock",
}
# In pieces, so that this file keeps its own rule.
INDEX_HOSTS = (
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "registry.npmjs" + ".org",
    "registry.yarnpkg" + ".com",
    "npmmirror" + ".com",
    "proxy.golang" + ".org",
)
WORKPLACES = ("/work" + "/main", "/work" + "/shared", "/tmp" + "/brief", "/root" + "/")
LATER = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
BINARY_SUFFIXES = {".gz", ".png", ".ico", ".mp4", ".pb", ".woff2", ".jpg"}


def text_files() -> list[tuple[Path, str]]:
    return [
        (path, path.read_text(encoding="utf-8", errors="replace"))
        for path in tracked()
        if path.suffix not in BINARY_SUFFIXES
    ]


def test_no_folder_or_module_is_a_junk_drawer() -> None:
    junk = [path for path in tracked() if JUNK_DRAWERS & {path.stem, *path.relative_to(ROOT).parts}]
    assert not junk, f"name the idea, not the drawer: {shown(junk)}"


def test_every_module_says_in_its_first_line_what_it_is_for() -> None:
    silent = [
        path
        for path in sources()
        if path.read_text(encoding="utf-8").strip()
        and not (ast.get_docstring(parsed(path)) or "").strip()
    ]
    assert not silent, f"say what it decides or does, in an operator's words: {shown(silent)}"


def test_no_source_is_too_long_to_be_read_in_one_sitting() -> None:
    long = [p for p in sources() if p.read_text().count("\n") > SOURCE_LINES_MAX]
    assert not long, f"over {SOURCE_LINES_MAX} lines, split it by idea: {shown(long)}"


def test_every_test_is_named_as_a_sentence_that_would_be_news_if_false() -> None:
    terse = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in modules_of_tests()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and len(node.name.split("_")) < 5
    ]
    assert not terse, f"say what would be news, in four words or more: {terse}"


def test_nothing_is_left_for_later_in_a_comment() -> None:
    words = re.compile(rf"\b(?:{'|'.join(LATER)})\b")
    marked = [path for path, text in text_files() if words.search(text)]
    assert not marked, f"do it, or write an issue: {shown(marked)}"


def test_no_test_replaces_a_part_of_ours_by_a_mock() -> None:
    mocked = [
        path for path in modules_of_tests() if "mock" + ".patch" in path.read_text(encoding="utf-8")
    ]
    assert not mocked, f"pull the decision out of the act instead: {shown(mocked)}"


def test_no_lock_file_pins_us_to_somebodys_index() -> None:
    locks = [path for path in tracked() if path.name in LOCK_FILES]
    # npm can leave the addresses out (`omit-lockfile-registry-resolved` in .npmrc); uv and others cannot.
    pinned = [
        path
        for path in locks
        if path.name != "package-lock.json" or '"resolved"' in path.read_text(encoding="utf-8")
    ]
    assert not pinned, f"constraints.txt pins versions without addresses: {shown(pinned)}"


@pytest.mark.parametrize("host", INDEX_HOSTS)
def test_no_file_names_the_address_of_a_package_index(host: str) -> None:
    address = re.compile(rf"://[^\s/]*{re.escape(host)}")
    named = [path for path, text in text_files() if address.search(text)]
    assert not named, f"name the package, not where it is fetched: {shown(named)}"


@pytest.mark.parametrize("place", WORKPLACES)
def test_no_file_knows_whose_machine_it_was_written_on(place: str) -> None:
    standing_alone = re.compile(rf"(?<![A-Za-z0-9_.-]){re.escape(place)}")
    named = [path for path, text in text_files() if standing_alone.search(text)]
    assert not named, (
        f"take the path from an argument or from where the file stands: {shown(named)}"
    )


def test_the_import_contracts_hold() -> None:
    linter = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert linter.returncode == 0, linter.stdout + linter.stderr
