"""The gateway without its control plane, and against one that lies."""

import socket
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from services import maps
from services.gateway_process import PROGRAM, Gateway, running, until, write_config
from services.scripted_control_plane import ScriptedControlPlane

TITLE = "big-buck-bunny"


def _refused(gateway: Gateway, reason: str) -> float:
    return gateway.counter(f'sluice_gateway_updates_refused_total{{kind="map",reason="{reason}"}}')


def test_without_its_control_plane_a_gateway_answers_on_and_starts_anew(
    config: Path, control_plane: ScriptedControlPlane
) -> None:
    with running(config) as gateway:
        gateway.until_healthy()
        before = gateway.playback(title=TITLE).json
        state = config.parent / "state"
        until("kept", lambda: {"catalog", "steering-map"} <= {p.name for p in state.glob("*")})
        control_plane.stop()
        until("gone", lambda: not gateway.health()["map"]["connected"], gateway)
        assert gateway.playback(title=TITLE).json["pathways"] == before["pathways"]
        assert gateway.stop() == 0

    with running(config) as gateway:
        assert gateway.playback(title=TITLE).json["pathways"] == before["pathways"]
        assert gateway.health()["map"]["from"] == "disk"
        assert gateway.health()["healthy"]
        control_plane.start()
        control_plane.say_map(
            maps.signed(
                maps.steering_map(7, rows={"site-a": (1,), "site-b": (3,)}),
                control_plane.signing_key,
            )
        )
        until("re-joined", lambda: gateway.health()["map"]["revision"] == 7, gateway)
        best = gateway.playback(title=TITLE, resolve=True).json["pathways"][0]
        assert best["appliance"] == "appliances/a-2"
    assert ("map", 1) in control_plane.asked


def test_a_map_of_a_stranger_an_older_one_and_a_broken_one_change_nothing(
    gateway: Gateway, control_plane: ScriptedControlPlane
) -> None:
    ours = control_plane.signing_key
    control_plane.say_map(maps.signed(maps.steering_map(5), ours))
    until("revision 5", lambda: gateway.health()["map"]["revision"] == 5, gateway)

    control_plane.say_map(maps.signed(maps.steering_map(6), Ed25519PrivateKey.generate()))
    until("stranger", lambda: _refused(gateway, "signature") == 1, gateway)
    control_plane.say_map(maps.signed(maps.steering_map(4), ours))
    until("older", lambda: _refused(gateway, "older") == 1, gateway)
    broken = maps.steering_map(8)
    broken.zone = ""
    control_plane.say_map(maps.signed(broken, ours))
    until("malformed", lambda: _refused(gateway, "malformed") == 1, gateway)

    assert gateway.health()["map"]["revision"] == 5
    assert gateway.playback(title=TITLE).status == 200


@pytest.mark.parametrize("content", [b"", b"\xff\xff\xff\xff", b"\x0a\x02hi"])
def test_a_damaged_last_known_good_file_is_left_and_heard_anew(
    config: Path, content: bytes
) -> None:
    state = config.parent / "state"
    state.mkdir()
    (state / "steering-map").write_bytes(content)

    with running(config) as gateway:
        gateway.until_healthy()
        assert gateway.playback(title=TITLE).status == 200
        assert gateway.counter('sluice_gateway_known_good_failures_total{kind="map"}') == 1


def test_before_anything_was_heard_a_viewer_is_told_to_come_again(tmp_path: Path) -> None:
    script = ScriptedControlPlane(tmp_path / "control-plane")
    script.stop()
    with running(write_config(tmp_path, script.port, script.identity)) as gateway:
        answers = [gateway.playback(title=TITLE), gateway.ask("GET", "/v1/titles")]

        assert [answer.status for answer in answers] == [503, 503]
        assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)
        assert gateway.ask("GET", "/healthz").status == 503


def test_a_new_title_is_listed_as_soon_as_it_is_said(
    gateway: Gateway, control_plane: ScriptedControlPlane
) -> None:
    control_plane.say_catalog(2, maps.title(), maps.title("sintel", live=False))

    def names() -> list[str]:
        titles = gateway.ask("GET", "/v1/titles").json["titles"]
        return [title["name"] for title in titles]

    until("sintel", lambda: "titles/sintel" in names(), gateway)
    assert gateway.ask("GET", "/v1/titles/sintel").json["state"] == "filling"
    assert gateway.ask("GET", "/v1/titles/not-yet").status == 404
    first = gateway.ask("GET", "/v1/titles?page_size=1").json
    second = gateway.ask("GET", f"/v1/titles?page_token={first['next_page_token']}").json
    assert [title["name"] for title in second["titles"]] == ["titles/sintel"]
    assert gateway.ask("GET", "/v1/titles?page_size=0").status == 400


def test_a_taken_port_is_one_line_that_names_the_setting(
    tmp_path: Path, control_plane: ScriptedControlPlane
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        config = write_config(tmp_path, control_plane.port, control_plane.identity, listen=listen)
        done = _run(config)

    assert done.returncode == 2
    assert listen in done.stderr
    assert "`listen`" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_identity_that_is_not_there_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    done = _run(write_config(tmp_path, 1, tmp_path / "nobody"))

    assert done.returncode == 2
    assert "nobody/verification.pem" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('listen = "nowhere"', "listen is 'nowhere'"),
        ("url_lifetime_s = 1", "url_lifetime_s is 1"),
        ('trusted_proxies = ["10.0.0.0/40"]', "trusted_proxies"),
        ("requests_in_flight_max = 0", "requests_in_flight_max is 0"),
        ("lisen = 1", "unknown key 'lisen'"),
    ],
)
def test_check_config_names_the_line_of_a_mistake(tmp_path: Path, line: str, said: str) -> None:
    config = tmp_path / "c.toml"
    config.write_text(f'control_plane = "a:1"\nidentity = "i"\nstate = "s"\n{line}\n')
    done = subprocess.run(
        [PROGRAM, "check-config", config], capture_output=True, text=True, check=False, timeout=30
    )

    assert done.returncode == 2
    assert f"{config}:4: {said}" in done.stderr


def _run(config: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, "run", "--config", config],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
