"""A scripted control plane and a real gateway that follows it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from services import maps
from services.gateway_process import Gateway, running, write_config
from services.scripted_control_plane import ScriptedControlPlane


@pytest.fixture
def control_plane(tmp_path: Path) -> Iterator[ScriptedControlPlane]:
    script = ScriptedControlPlane(tmp_path / "control-plane")
    script.say_map(maps.signed(maps.steering_map(), script.signing_key))
    script.say_catalog(1, maps.title(), maps.title("not-yet", live=False))
    yield script
    script.stop()


@pytest.fixture(scope="module")
def steady_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway for the tests of a file that leave it, its map and its counters as they were."""
    folder = tmp_path_factory.mktemp("steady")
    script = ScriptedControlPlane(folder / "control-plane")
    script.say_map(maps.signed(maps.steering_map(), script.signing_key))
    script.say_catalog(1, maps.title(), maps.title("not-yet", live=False))
    try:
        with running(write_config(folder, script.port, script.identity)) as gateway:
            gateway.until_healthy()
            yield gateway
    finally:
        script.stop()


@pytest.fixture
def config(tmp_path: Path, control_plane: ScriptedControlPlane) -> Path:
    return write_config(
        tmp_path, control_plane.port, control_plane.identity, web=str(tmp_path / "web")
    )


@pytest.fixture
def gateway(config: Path) -> Iterator[Gateway]:
    with running(config) as gateway:
        gateway.until_healthy()
        yield gateway
