"""The program as an operator meets it: files, ports, signals, one line for each mistake."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import alembic.autogenerate
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from control_plane.rig import free_port

import sluice_control_plane
from sluice_control_plane.schema import metadata
from sluice_runtime.metrics import parse_exposition

PROGRAM = (sys.executable, "-m", "sluice_control_plane.main")
MIGRATIONS = Path(sluice_control_plane.__file__).parent / "migrations"


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def _config(folder: Path, **settings: str) -> Path:
    values = {
        "state": str(folder / "state"),
        "listen": f"127.0.0.1:{free_port()}",
        "enrolment_listen": f"127.0.0.1:{free_port()}",
        "admin_listen": f"127.0.0.1:{free_port()}",
        **settings,
    }
    path = folder / "control-plane.toml"
    path.write_text("".join(f'{key} = "{value}"\n' for key, value in values.items()))
    return path


def test_the_server_is_healthy_counts_and_ends_with_zero_on_sigterm(tmp_path: Path) -> None:
    admin = f"127.0.0.1:{free_port()}"
    config = _config(tmp_path, admin_listen=admin)
    with subprocess.Popen(
        [*PROGRAM, "run", "--config", str(config)], stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        try:
            ready = json.loads(server.stderr.readline())
            assert (ready["event"], ready["admin_listen"]) == ("ready", admin)
            with urllib.request.urlopen(f"http://{admin}/healthz", timeout=10) as page:
                assert json.load(page)["map_revision"] == 1
            with urllib.request.urlopen(f"http://{admin}/metrics", timeout=10) as page:
                samples = dict(parse_exposition(page.read().decode()))
            assert samples["sluice_control_plane_map_revision"] == 1
            server.send_signal(signal.SIGTERM)
            assert server.wait(20) == 0
        finally:
            server.kill()
        assert "Traceback" not in server.stderr.read()


def test_killed_at_any_moment_of_its_first_run_it_starts_whole_the_next_time(
    tmp_path: Path,
) -> None:
    for patience_s in (0.3, 0.6, 0.9, 1.2):
        state = tmp_path / str(patience_s)
        with subprocess.Popen([*PROGRAM, "init", "--state", str(state)]) as child:
            deadline = time.monotonic() + patience_s
            while child.poll() is None and time.monotonic() < deadline:
                os.sched_yield()
            child.kill()
        assert _run("init", "--state", str(state)).returncode == 0
        for name in ("operator", "publisher", "dns", "services"):
            assert (state / "identities" / name / "cert.pem").read_bytes()


def test_init_leaves_what_is_there_and_keeps_keys_from_other_eyes(tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert _run("init", "--state", str(state)).returncode == 0
    before = {path: path.read_bytes() for path in state.rglob("*.*")}
    assert _run("init", "--state", str(state)).returncode == 0
    assert {path: path.read_bytes() for path in state.rglob("*.*")} == before
    keys = [state / "ca.key", state / "signing.pem", *state.rglob("key.pem")]
    assert len(keys) == 7
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}


def test_an_issued_identity_has_the_four_files_and_is_not_overwritten(tmp_path: Path) -> None:
    state, out = str(tmp_path / "state"), str(tmp_path / "out")
    arguments = ["issue", "--state", state, "--role", "partner", "--name", "partner-a"]
    arguments += ["--out", out]
    assert _run(*arguments).returncode == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["ca.pem", "cert.pem", "key.pem", "verification.pem"]
    again = _run(*arguments)
    assert (again.returncode, "cert.pem is there" in again.stderr) == (2, True)


def test_a_port_in_use_is_one_line_with_the_setting_that_changes_it(tmp_path: Path) -> None:
    for setting in ("listen", "enrolment_listen", "admin_listen"):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            refused = _run("run", "--config", str(_config(tmp_path, **{setting: address})))
        assert refused.returncode == 2
        assert refused.stderr == (
            f"sluice-control-plane: {address}: address already in use; "
            f"the setting `{setting}` changes it\n"
        )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('listen = "8443"', "listen is '8443', expected HOST:PORT"),
        ('zone = "V.Test."', "zone is 'V.Test.'"),
        ('origin_url = "127.0.0.1"', "origin_url is '127.0.0.1'"),
        ("heartbeat_deadline_s = 1.0", "heartbeat_deadline_s is 1.0, expected 3.0..600"),
        ("copies_per_site = 0", "copies_per_site is 0, expected 1..16"),
        ('zoned = "x"', "did you mean 'zone'?"),
    ],
)
def test_a_wrong_setting_is_said_with_file_and_line(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f'# first\nstate = "state"\n{line}\n')
    checked = _run("check-config", str(path))
    assert checked.returncode == 2
    assert checked.stderr.startswith(f"sluice-control-plane: {path}:3: ")
    assert words in checked.stderr
    assert checked.stderr.count("\n") == 1


def test_a_database_that_is_none_is_one_line(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "sluice.db").write_bytes(b"this is not a database, it is text" * 100)
    failed = _run("run", "--config", str(_config(tmp_path)))
    assert (failed.returncode, failed.stderr.count("\n")) == (2, 1)
    assert "sluice.db" in failed.stderr


def test_the_migrations_make_exactly_the_tables_of_the_schema(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'x.db'}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        context = MigrationContext.configure(connection)
        assert alembic.autogenerate.compare_metadata(context, metadata) == []
        command.downgrade(config, "base")
        assert sa.inspect(connection).get_table_names() == ["alembic_version"]
    engine.dispose()
