"""A peer in the site lies about every object in another way; nothing wrong is ever served."""

import http.server
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scenarios.small_fleet import SmallFleet, configure_box, enrol_impostor, small_fleet
from scenarios.stack import until

from sluice.fill.v1 import fill_pb2, fill_pb2_grpc
from sluice.fleet.v1 import fleet_pb2, fleet_pb2_grpc

SIZE = 300_000
OBJECTS = {
    f"{fault}.mp4": random.Random(fault).randbytes(SIZE)
    for fault in ("wrong", "few", "many", "stall", "refuse", "honest")
}


class Source(http.server.BaseHTTPRequestHandler):
    """Serves OBJECTS by range; `lies` makes the file's name the way in which it misbehaves."""

    protocol_version = "HTTP/1.1"
    lies = False
    stalled = threading.Event()

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        fault = name.partition(".")[0] if self.lies else "honest"
        body = OBJECTS[name]
        first = int((self.headers.get("Range") or "bytes=0-")[6:].partition("-")[0])
        if fault == "refuse":
            self.send_error(500)
            return
        if fault == "wrong":
            body = body[: SIZE // 2] + bytes([body[SIZE // 2] ^ 1]) + body[SIZE // 2 + 1 :]
        part = body[first:]
        if fault == "many":
            part += b"and more"
        self.send_response(206 if "Range" in self.headers else 200)
        # One that sends too few says so honestly in its headers; the manifest knows better.
        said = len(part) // 2 if fault == "few" else len(part)
        self.send_header("Content-Length", str(said))
        total = first + len(part)
        self.send_header("Content-Range", f"bytes {first}-{total - 1}/{total}")
        self.end_headers()
        if fault == "stall":
            self.wfile.write(part[: SIZE // 3])
            self.wfile.flush()
            self.stalled.wait(20)
            self.close_connection = True
            return
        self.wfile.write(part[:said])

    def log_message(self, *_: object) -> None:
        pass


class LyingSource(Source):
    lies = True


@pytest.fixture
def origin() -> Iterator[str]:
    with serving(Source, "127.0.0.1") as port:
        yield f"http://127.0.0.1:{port}/"


def test_nothing_wrong_is_served_and_the_fill_goes_on_from_another_source(
    tmp_path: Path, origin: str
) -> None:
    with (
        small_fleet(tmp_path, origin_url=origin) as fleet,
        serving(LyingSource, "127.0.30.1") as port,
        impostor(fleet, tmp_path / "liar-identity", port),
    ):
        fleet.publish("film", OBJECTS)
        until("the liar says it holds the film", lambda: report(fleet, tmp_path), within_s=10)
        box = configure_box(
            fleet, "honest", "127.0.30.2", fleet.add_box("honest"), fill_stall_s=1.0
        )
        box.start(fleet)
        deadline = time.monotonic() + 60
        waiting = set(OBJECTS)
        while waiting:
            for name in sorted(waiting):
                body = box.get(f"film/v1/{name}")
                assert body is None or body == OBJECTS[name], f"{name} was served wrong"
                if body is not None:
                    waiting.discard(name)
            assert time.monotonic() < deadline, f"not filled: {waiting}"
            time.sleep(0.05)
        counters = box.counters()

    for kind in ("digest_mismatch", "truncated", "overlong", "stalled", "unavailable"):
        counted = sum(
            value
            for name, value in counters.items()
            if name.startswith("sluice_appliance_fill_source_faults_total")
            and f'kind="{kind}"' in name
            and 'source="peer"' in name
        )
        assert counted >= 1, f"{kind}: {[n for n in counters if 'faults' in n]}"
    assert not any(
        value
        for name, value in counters.items()
        if "source_faults_total" in name and 'source="origin"' in name
    )


class serving:  # noqa: N801 - read as `with serving(...)`
    """An HTTP server on a free port of `host` while the block runs."""

    def __init__(self, handler: type[Source], host: str) -> None:
        self._server = http.server.ThreadingHTTPServer((host, 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> int:
        self._thread.start()
        return self._server.server_port

    def __exit__(self, *_: object) -> None:
        Source.stalled.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        Source.stalled.clear()


class impostor:  # noqa: N801 - read as `with impostor(...)`
    """An appliance `liar` that sends heartbeats and is believed to be up."""

    def __init__(self, fleet: SmallFleet, identity: Path, port: int) -> None:
        self._fleet = fleet
        self._identity = identity
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat)

    def __enter__(self) -> None:
        enrol_impostor(self._fleet, self._fleet.add_box("liar"), self._identity)
        self._thread.start()
        until(
            "the liar is believed",
            lambda: self._fleet.health("liar") == fleet_pb2.APPLIANCE_HEALTH_UP,
            within_s=15,
        )

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        with self._fleet.channel(self._identity) as channel:
            stub = fleet_pb2_grpc.ApplianceServiceStub(channel)
            sequence = 0
            while not self._stop.wait(0.5):
                sequence += 1
                stub.ReportHeartbeat(
                    fleet_pb2.ReportHeartbeatRequest(
                        appliance="appliances/liar",
                        incarnation="impostor",
                        sequence=sequence,
                        serving=True,
                        serving_address=fleet_pb2.ServingAddress(
                            ipv4="127.0.30.1", port=self._port
                        ),
                        capacity_bytes=1 << 30,
                    ),
                    timeout=5,
                )


def report(fleet: SmallFleet, tmp_path: Path) -> bool:
    with fleet.channel(tmp_path / "liar-identity") as channel:
        fill_pb2_grpc.FillServiceStub(channel).ReportFill(
            fill_pb2.ReportFillRequest(
                appliance="appliances/liar",
                incarnation="impostor",
                complete_titles=["film/v1"],
                held_objects=len(OBJECTS),
                wanted_objects=len(OBJECTS),
            ),
            timeout=5,
        )
    return True
