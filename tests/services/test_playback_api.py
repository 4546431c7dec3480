"""The playback API of a real gateway that follows a control plane."""

import json
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest
from services import maps
from services.gateway_process import Gateway, running, until, write_config
from services.scripted_control_plane import ScriptedControlPlane

TITLE = "big-buck-bunny"


def test_a_viewer_of_site_b_is_sent_to_the_appliances_of_site_b_first(
    steady_gateway: Gateway,
) -> None:
    answer = steady_gateway.playback(title=TITLE, client_address="10.2.3.4", resolve=True)

    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    playback = answer.json
    assert [way["appliance"] for way in playback["pathways"]] == [
        "appliances/b-1",
        "appliances/b-2",
        "appliances/a-1",
        "appliances/a-2",
    ]
    assert [way["rank"] for way in playback["pathways"]] == [1, 2, 3, 4]
    assert playback["dash_url"] == f"http://127.0.20.1:8081/{TITLE}/v1/manifest.mpd"
    assert playback["class_index"] == maps.OF_B


def test_without_resolve_the_names_of_our_dns_are_given_steered_first(
    steady_gateway: Gateway,
) -> None:
    playback = steady_gateway.playback(title=f"titles/{TITLE}", client_address="2001:db8:b::9").json

    assert [way["host"] for way in playback["pathways"]] == [
        "b0003.v.sluice.test",
        "b0003.site-b.v.sluice.test",
        "b0003.site-a.v.sluice.test",
    ]
    assert [way["site"] for way in playback["pathways"]] == [None, "sites/site-b", "sites/site-a"]
    assert playback["hls_url"] == f"http://b0003.v.sluice.test:8081/{TITLE}/v1/master.m3u8"


def test_the_answer_says_what_a_player_checks_and_shows(steady_gateway: Gateway) -> None:
    playback = steady_gateway.playback(title=TITLE).json

    assert playback["integrity"] == {
        "url": f"http://b0003.v.sluice.test:8081/{TITLE}/v1/integrity.json",
        "sha256": bytes(range(32)).hex(),
        "size_bytes": 1_234,
    }
    assert "Blender Foundation" in playback["attribution"]
    lifetime = datetime.fromisoformat(playback["expires_at"]) - datetime.now(UTC)
    assert 21_500 < lifetime.total_seconds() <= 21_600


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "JSON"),
        (b"", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b"[]", "array"),
        (b"{}", "title"),
        (b'{"title": 5}', "title"),
        (b'{"title": "../etc"}', "title"),
        (b'{"title": "a", "resolve": "yes"}', "resolve"),
        (b'{"title": "a", "client_address": "10.1.2"}', "client_address"),
        (b'{"title": "a", "colour": 1}', "colour"),
        (b"[" * 10_000, ""),
        (b'{"title": "\xff"}', ""),
    ],
)
def test_a_malformed_body_is_a_problem_that_names_the_field(
    steady_gateway: Gateway, body: bytes, field: str
) -> None:
    answer = steady_gateway.ask("POST", "/v1/playback", body)

    assert answer.status == 400, answer.body
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json["status"] == 400
    assert field in answer.json["detail"]
    if field in ("title", "resolve", "client_address", "colour"):
        assert [error["pointer"] for error in answer.json["errors"]] == [f"/{field}"]


def test_an_unknown_title_is_404_and_one_that_fills_is_409(gateway: Gateway) -> None:
    assert gateway.playback(title="nobody-filmed-it").status == 404
    waiting = gateway.playback(title="not-yet")

    assert waiting.status == 409
    assert "filling" in waiting.json["detail"]
    assert gateway.counter('sluice_gateway_playbacks_total{outcome="unknown_title"}') == 1
    assert gateway.counter('sluice_gateway_playbacks_total{outcome="not_live"}') == 1


def test_when_no_appliance_holds_the_title_the_viewer_is_told_503(
    gateway: Gateway, control_plane: ScriptedControlPlane
) -> None:
    empty = {"site-a": (maps.NOBODY, maps.NOBODY), "site-b": (maps.NOBODY,)}
    control_plane.say_map(maps.signed(maps.steering_map(2, rows=empty), control_plane.signing_key))
    until("the new map", lambda: gateway.health()["map"]["revision"] == 2, gateway)

    answer = gateway.playback(title=TITLE)

    assert answer.status == 503
    assert "bucket 3" in answer.json["detail"]
    assert int(answer.headers["retry-after"]) > 0


def test_what_a_header_says_of_the_client_is_never_believed(steady_gateway: Gateway) -> None:
    lies = {"X-Forwarded-For": "10.2.3.4", "Forwarded": "for=10.2.3.4", "X-Real-IP": "10.2.3.4"}
    playback = steady_gateway.ask("POST", "/v1/playback", {"title": TITLE}, headers=lies).json

    assert playback["class_index"] == maps.DEFAULT


def test_only_a_trusted_proxy_may_name_the_viewer(
    tmp_path: Path, control_plane: ScriptedControlPlane
) -> None:
    config = write_config(
        tmp_path, control_plane.port, control_plane.identity, trusted_proxies=["127.0.0.9/32"]
    )
    asked = {"title": TITLE, "client_address": "10.2.3.4"}
    with running(config) as gateway:
        gateway.until_healthy()
        stranger = gateway.ask("POST", "/v1/playback", asked)
        proxy = gateway.ask("POST", "/v1/playback", asked, from_address="127.0.0.9")

        assert stranger.json["class_index"] == maps.DEFAULT
        assert proxy.json["class_index"] == maps.OF_B
        assert gateway.counter("sluice_gateway_client_address_ignored_total") == 1


def test_a_body_that_is_too_long_is_413(steady_gateway: Gateway) -> None:
    answer = steady_gateway.ask("POST", "/v1/playback", b" " * 20_000)

    assert answer.status == 413
    assert "16384" in answer.json["detail"]


def test_a_body_that_never_comes_is_408_and_holds_nobody_up(
    tmp_path: Path, control_plane: ScriptedControlPlane
) -> None:
    config = write_config(
        tmp_path, control_plane.port, control_plane.identity, request_timeout_s=0.3
    )
    with running(config) as gateway:
        gateway.until_healthy()
        with socket.create_connection((gateway.host, gateway.port), timeout=10) as slow:
            slow.sendall(b"POST /v1/playback HTTP/1.1\r\nHost: g\r\nContent-Length: 40\r\n\r\n{")
            assert gateway.playback(title=TITLE).status == 200
            assert slow.recv(65536).startswith(b"HTTP/1.1 408")
        assert gateway.counter("sluice_gateway_timeouts_total") == 1


def test_when_too_many_ask_at_once_the_next_is_told_to_come_again(
    tmp_path: Path, control_plane: ScriptedControlPlane
) -> None:
    config = write_config(
        tmp_path, control_plane.port, control_plane.identity, requests_in_flight_max=1
    )
    with running(config) as gateway:
        gateway.until_healthy()
        with socket.create_connection((gateway.host, gateway.port), timeout=10) as first:
            first.sendall(b"POST /v1/playback HTTP/1.1\r\nHost: g\r\nContent-Length: 26\r\n\r\n{")
            refused = until(
                "503",
                lambda: answer if (answer := gateway.playback(title=TITLE)).status == 503 else None,
                gateway,
            )
            first.sendall(b'"title":"big-buck-bunny"}')
            assert first.recv(65536).startswith(b"HTTP/1.1 200")
        assert refused.json["status"] == 503
        assert gateway.counter("sluice_gateway_overloaded_total") >= 1


def test_every_answer_carries_the_id_of_its_request(steady_gateway: Gateway) -> None:
    named = steady_gateway.ask("GET", "/v1/nothing", headers={"X-Request-Id": "call-17"})
    forged = steady_gateway.ask("GET", "/v1/nothing", headers={"X-Request-Id": "a b<script>"})

    assert named.headers["x-request-id"] == named.json["request_id"] == "call-17"
    assert forged.json["request_id"] != "a b<script>"
    assert forged.headers["x-content-type-options"] == "nosniff"


def test_an_app_of_any_origin_may_call_the_api(steady_gateway: Gateway) -> None:
    preflight = steady_gateway.ask(
        "OPTIONS",
        "/v1/playback",
        headers={"Origin": "https://app.example", "Access-Control-Request-Method": "POST"},
    )
    error = steady_gateway.playback(title="nobody-filmed-it")

    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "Content-Type" in preflight.headers["access-control-allow-headers"]
    assert error.headers["access-control-allow-origin"] == "*"


def test_a_method_that_a_path_does_not_take_is_405_and_says_which_it_takes(
    steady_gateway: Gateway,
) -> None:
    answer = steady_gateway.ask("GET", "/v1/playback")

    assert answer.status == 405
    assert "POST" in answer.headers["allow"]
    assert "POST" in answer.json["detail"]


def test_bytes_that_are_no_http_are_400_and_leave_no_traceback(gateway: Gateway) -> None:
    for garbage in (b"\x00\x01\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01" + bytes(300)):
        with socket.create_connection((gateway.host, gateway.port), timeout=10) as peer:
            peer.sendall(garbage)
            assert b" 400 " in peer.recv(65536)

    assert gateway.playback(title=TITLE).status == 200
    assert "Traceback" not in gateway.log.read_text()
    assert all(event["level"] != "error" for event in gateway.events), json.dumps(gateway.events)
