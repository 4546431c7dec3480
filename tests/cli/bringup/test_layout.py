"""What `sluice up` decides: its programs, their files and their addresses."""

import subprocess
import sys
import tomllib
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_cli.bringup import layout
from sluice_cli.bringup.layout import Ports, Program, StatePaths
from sluice_cli.bringup.seeds import seed_of

PATHS = StatePaths(PurePosixPath('/srv/a "quoted" \\ state'))


def programs(paths: StatePaths) -> list[Program]:
    ports = Ports()
    boxes = [
        layout.appliance_program(paths, ports, box, capacity_bytes=1 << 30, token="secret")
        for box in layout.boxes()
    ]
    return [
        layout.control_plane_program(paths, ports),
        layout.dns_program(paths, ports),
        layout.gateway_program(paths, ports),
        *boxes,
    ]


def test_no_two_listeners_want_the_same_address() -> None:
    wanted = [(one.host, one.port, one.kind) for one in layout.listeners(Ports())]

    assert len(wanted) == len(set(wanted))


def test_every_listener_names_the_option_that_moves_it() -> None:
    options = {f"--{name.replace('_', '-')}-port" for name in Ports.__dataclass_fields__}

    assert {one.option for one in layout.listeners(Ports())} == options


@pytest.mark.parametrize("program", programs(PATHS), ids=lambda program: program.name)
def test_a_state_folder_with_odd_characters_is_quoted_in_every_configuration(
    program: Program,
) -> None:
    assert str(PATHS.root) in str(list(tomllib.loads(program.config_text).values())).replace(
        "\\\\", "\\"
    )


@pytest.mark.parametrize("name", ["control-plane", "dns", "gateway", "a-1", "b-2"])
def test_the_program_itself_accepts_the_configuration_that_up_writes(
    name: str, tmp_path: Path
) -> None:
    program = next(one for one in programs(StatePaths(tmp_path)) if one.name == name)
    config = tmp_path / "config.toml"
    config.write_text(program.config_text)

    done = subprocess.run(
        [str(Path(sys.executable).parent / program.argv[0]), "check-config", str(config)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@given(
    stem=st.text(min_size=1, max_size=200).filter(lambda text: "/" not in text and "\0" not in text)
)
def test_any_file_name_gives_a_title_id_that_the_registry_takes(stem: str) -> None:
    title_id = seed_of(Path("x") / f"{stem}.mp4").title_id

    assert 1 <= len(title_id) <= 63
    assert set(title_id) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert not title_id.startswith("-")
    assert not title_id.endswith("-")
