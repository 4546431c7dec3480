"""A fleet that asks for tokens: who has one is served, boxes fill from each other, and both outlive the control plane."""

import contextlib
import http.server
import json
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from scenarios.small_fleet import Box, SmallFleet, configure_box, small_fleet
from scenarios.stack import free_port, until

from sluice.fleet.v1 import fleet_pb2
from sluice.tokens.v1 import tokens_pb2, tokens_pb2_grpc

OBJECTS = {"main.m3u8": b"#EXTM3U\n", "video.mp4": bytes(range(256)) * 4096}
# The bodies of refusals.
_said: set[bytes] = set()
UP = fleet_pb2.APPLIANCE_HEALTH_UP


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[http.server.ThreadingHTTPServer]:
    folder = tmp_path / "origin" / "film" / "v1"
    folder.mkdir(parents=True)
    for name, body in OBJECTS.items():
        (folder / name).write_bytes(body)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "origin"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def status(url: str) -> int:
    """What a request without anything but the URL is answered; 0 where nobody listens."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            _said.add(error.read())
        return error.code
    except OSError:
        return 0


def held(box: Box) -> bool:
    with contextlib.suppress(OSError):
        bytes_held = box.counters().get("sluice_appliance_fill_held_bytes", 0)
        return bytes_held == sum(len(body) for body in OBJECTS.values())
    return False


def revision(box: Box) -> int:
    with contextlib.suppress(OSError):
        return int(json.loads((box.home / "store" / "token-keys.json").read_bytes())["revision"])
    return 0


def both_know(expected: int, *boxes: Box) -> bool:
    return all(revision(box) == expected for box in boxes)


def refused(box: Box, reason: str) -> float:
    name = f'sluice_appliance_tokens_refused_total{{reason="{reason}"}}'
    return box.counters()[name]


def playback(gateway: str, *, boxes: int) -> dict[str, Any] | None:
    """What the gateway answers a viewer; None while it cannot."""
    request = urllib.request.Request(
        f"http://{gateway}/v1/playback", b'{"title": "film", "resolve": true}'
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            told: dict[str, Any] = json.loads(answer.read())
            # The first map that the gateway has may be of before the second box was up.
            ready = ";CAT=" in told["hls_url"] and len(told["pathways"]) == boxes
            return told if ready else None
    except OSError:
        return None


def start_gateway(fleet: SmallFleet) -> str:
    listen = f"127.0.0.1:{free_port()}"
    config = fleet.folder / "services.toml"
    config.write_text(
        f'control_plane = "{fleet.listen}"\nidentity = "{fleet.identity("services")}"\n'
        f'state = "{fleet.folder / "services"}"\nlisten = "{listen}"\n'
    )
    fleet.start("services", "sluice-services", "run", "--config", str(config))
    return listen


def test_only_tokens_open_a_fleet_that_asks_for_them_and_that_outlives_its_control_plane(
    tmp_path: Path, origin: http.server.ThreadingHTTPServer
) -> None:
    origin_url = f"http://127.0.0.1:{origin.server_address[1]}/"
    with small_fleet(tmp_path, origin_url=origin_url, tokens="required") as fleet:
        fleet.publish("film", OBJECTS)
        one = configure_box(fleet, "one", "127.0.30.3", fleet.add_box("one"))
        one.start(fleet)
        until("the first box has the film from the origin", lambda: held(one), within_s=30)

        # The second has nobody but the first to fetch from, and the first asks for tokens.
        origin.shutdown()
        origin.server_close()
        two = configure_box(fleet, "two", "127.0.30.4", fleet.add_box("two"))
        running = two.start(fleet)
        until("the second box has the film from the first", lambda: held(two), within_s=30)
        assert two.counters()['sluice_appliance_fill_objects_total{source="peer"}'] == len(OBJECTS)

        gateway = start_gateway(fleet)
        until(
            "both are up", lambda: {fleet.health("one"), fleet.health("two")} == {UP}, within_s=20
        )
        told = until("URLs of both have tokens", lambda: playback(gateway, boxes=2), within_s=20)
        urls = {way["appliance"]: way["hls_url"] for way in told["pathways"]}
        bare = {
            "appliances/one": f"http://{one.address}:{one.port}/film/v1/main.m3u8",
            "appliances/two": f"http://{two.address}:{two.port}/film/v1/main.m3u8",
        }

        def all_is_well() -> None:
            assert urls.keys() == bare.keys()
            for name, url in urls.items():
                # As a player goes on: what the manifest names relatively keeps the token.
                assert status(url.replace("main.m3u8", "video.mp4")) == status(url) == 200
                assert status(url.replace("/film/", "/other/")) == 403
                assert status(url.replace(";CAT=", ";CAT=AAAA")) == 403
                assert status(bare[name]) == 403

        all_is_well()
        assert refused(one, "missing") == refused(one, "wrong_path") == 1

        before = revision(two)
        with fleet.channel(fleet.identity("operator")) as channel:
            tokens_pb2_grpc.TokenKeyServiceStub(channel).RotateTokenKeys(
                tokens_pb2.RotateTokenKeysRequest(), timeout=10
            )
        until("both know the new key", partial(both_know, before + 1, one, two), within_s=10)
        all_is_well()

        fleet.processes[0].send_signal(signal.SIGKILL)
        fleet.processes[0].wait()
        running.terminate()
        running.wait(timeout=20)
        two.start(fleet)
        until("the second box is back", lambda: status(bare["appliances/two"]), within_s=20)
        all_is_well()
        assert _said == {b"forbidden\n"}
        assert urlsplit(playback(gateway, boxes=2)["hls_url"]).path.startswith("/;CAT=")  # type: ignore[index]
