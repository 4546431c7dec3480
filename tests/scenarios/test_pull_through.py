"""A real box that has no room for a title, its origin and its control plane: what a miss comes to."""

import hashlib
import http.client
import os
import random
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from scenarios.small_fleet import Box, SmallFleet, configure_box, small_fleet
from scenarios.stack import free_port, until

from sluice_appliance.store.blocks import block_digests

MIB = 1024 * 1024
BODY = random.Random(41).randbytes(48 * MIB + 5)
KEYS = [f"film/v1/{name}.mp4" for name in ("whole", "range", "byte", "cut", "killed")]


@dataclass
class Town:
    """An origin, and a box that holds nothing of what it has."""

    fleet: SmallFleet
    box: Box
    origin_port: int
    origin: "subprocess.Popen[bytes]"

    def start_origin(self) -> None:
        self.origin = self.fleet.start(
            "origin",
            *("sluice-encoder", "origin", "--root", str(self.fleet.folder / "origin")),
            *("--listen", f"127.0.0.1:{self.origin_port}"),
        )
        until("the origin answers", self.origin_answers, within_s=20)

    def origin_answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.origin_port, timeout=5)
        try:
            connection.request("HEAD", f"/{KEYS[0]}")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    @contextmanager
    def ask(self, key: str, asked: str = "") -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(self.box.address, self.box.port, timeout=20)
        try:
            connection.request("GET", f"/{key}", headers={"Range": asked} if asked else {})
            with connection.getresponse() as answer:
                yield answer
        finally:
            connection.close()

    def count(self, name: str) -> float:
        return sum(
            value
            for each, value in self.box.counters().items()
            if f"sluice_appliance_{name}" in each
        )

    def held(self) -> list[Path]:
        return [path for path in (self.box.home / "store" / "objects").rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    for key in KEYS:
        path = folder / "origin" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(BODY)
    port = free_port()
    with small_fleet(folder, origin_url=f"http://127.0.0.1:{port}/") as fleet:
        # No room for an object of the title: all that is asked for is a miss.
        box = configure_box(fleet, "box", "127.0.60.1", fleet.add_box("box"), capacity_bytes=MIB)
        found = Town(fleet, box, port, box.start(fleet))
        found.start_origin()
        names = [Path(key).name for key in KEYS]
        digests = block_digests(BODY)
        fleet.publish(
            "film", dict.fromkeys(names, BODY), block_digests=dict.fromkeys(names, digests)
        )
        until("the box has joined", lambda: knows(found, KEYS[0]), within_s=30)
        yield found


def knows(town: Town, key: str) -> bool:
    """Whether the box can tell what it is; no byte is asked for."""
    connection = http.client.HTTPConnection(town.box.address, town.box.port, timeout=5)
    try:
        connection.request("HEAD", f"/{key}")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def test_a_title_streams_through_a_box_that_lacks_it(town: Town) -> None:
    with town.ask(KEYS[0]) as answer:
        assert answer.status == 200
        assert answer.headers["Cache-Status"] == "box; fwd=miss; detail=fill"
        assert answer.read() == BODY
    with town.ask(KEYS[0], f"bytes={MIB}-{2 * MIB}") as again:
        assert again.headers["Cache-Status"] == "box; hit"
        assert again.read() == BODY[MIB : 2 * MIB + 1]
    assert town.held() == []


def test_thirty_two_clients_of_one_range_make_one_request_upstream(town: Town) -> None:
    before = town.count("pull_requests_total")
    bodies: list[bytes] = []

    def read() -> None:
        with town.ask(KEYS[1], f"bytes={4 * MIB}-{10 * MIB}") as answer:
            bodies.append(answer.read())

    clients = [threading.Thread(target=read) for _ in range(32)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert set(map(len, bodies)) == {6 * MIB + 1}
    assert {hashlib.sha256(body).digest() for body in bodies} == {
        hashlib.sha256(BODY[4 * MIB : 10 * MIB + 1]).digest()
    }
    assert len(bodies) == 32
    assert town.count("pull_requests_total") == before + 1


def test_one_byte_of_a_large_object_pulls_one_block(town: Town) -> None:
    before = town.count("pull_bytes_total")
    with town.ask(KEYS[2], f"bytes={20 * MIB + 3}-{20 * MIB + 3}") as answer:
        assert (answer.status, answer.read()) == (206, BODY[20 * MIB + 3 : 20 * MIB + 4])
    assert town.count("pull_bytes_total") == before + MIB


def test_an_origin_killed_in_mid_body_breaks_the_response_and_when_it_is_back_all_is_well(
    town: Town,
) -> None:
    with town.ask(KEYS[3]) as answer:
        assert answer.read(2 * MIB) == BODY[: 2 * MIB]
        os.killpg(town.origin.pid, signal.SIGKILL)
        town.origin.wait()
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            answer.read()
    assert town.count("pulls_broken_total") == 1
    assert town.held() == []
    with town.ask(KEYS[3], f"bytes={40 * MIB}-") as refused:
        assert refused.status == 503
        assert int(refused.headers["Retry-After"]) >= 1
    town.start_origin()

    def whole() -> bool:
        with town.ask(KEYS[3]) as again:
            try:
                return again.status == 200 and again.read() == BODY
            except http.client.IncompleteRead:
                return False

    until("all of it comes", whole, within_s=20)


def test_a_worker_killed_while_it_is_handed_blocks_leaves_one_that_is_handed_its_own(
    town: Town,
) -> None:
    with town.ask(KEYS[4]) as answer:
        answer.read(MIB)
        for pid in workers(town):
            os.kill(pid, signal.SIGKILL)
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            answer.read()

    def whole() -> bool:
        try:
            with town.ask(KEYS[4]) as again:
                return again.read() == BODY
        except (OSError, http.client.HTTPException):
            return False

    until("the next worker serves it", whole, within_s=20)


def workers(town: Town) -> list[int]:
    """The serving workers of the box."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if b"sluice_appliance.serving.main" in command and str(town.box.home).encode() in command:
            found.append(int(folder.name))
    assert found, "no worker runs"
    return found
