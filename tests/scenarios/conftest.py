"""One running system for the scenarios that leave it as they found it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from scenarios.stack import Stack, make_clip, running_stack

TITLE = "test-film"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "scenarios" in item.path.parts:
            item.add_marker(pytest.mark.scenario)


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("film") / "test-film.mp4")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, film: Path) -> Iterator[Stack]:
    state = tmp_path_factory.mktemp("up")
    # Slow enough that what a death does can be seen before the dead are back.
    with running_stack(state, "--seed", str(film), "--restart-delay-s", "8") as running:
        yield running
