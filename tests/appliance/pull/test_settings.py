"""The settings of pulls: what cannot be is one line that names it."""

from pathlib import Path

import pytest

from sluice_appliance.config import ApplianceConfig
from sluice_runtime.config import ConfigError, load

PLAIN = """
appliance = "a-1"
store = "store"
capacity_bytes = 1_000_000
listen = "127.0.0.1:8081"
control_plane = "127.0.0.1:8443"
enrolment = "127.0.0.1:8444"
certificate_authority = "ca.pem"
identity = "identity"
"""


def config_of(folder: Path, line: str = "") -> ApplianceConfig:
    path = folder / "appliance.toml"
    path.write_text(PLAIN + line + "\n")
    return load(path, ApplianceConfig)


def test_a_box_of_a_fleet_pulls_unless_it_is_told_not_to(tmp_path: Path) -> None:
    assert config_of(tmp_path).pull_through
    assert not config_of(tmp_path, "pull_through = false").pull_through


@pytest.mark.parametrize(
    "line",
    [
        "pull_memory_bytes = 1",
        "pull_memory_bytes = 5_000_000_000",
        "pull_flash_bytes = 1",
        "pull_flash_bytes = -1",
    ],
)
def test_a_bound_that_cannot_be_is_refused_with_its_name_and_range(
    tmp_path: Path, line: str
) -> None:
    name = line.partition(" ")[0]
    with pytest.raises(ConfigError, match=rf"{name} is .*, expected \d+\.\.\d+"):
        config_of(tmp_path, line)
