"""A control plane that says what none should: a real box goes by nothing of it, holds what it held, and lives."""

import asyncio
import contextlib
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from appliance.agent.scripted_control_plane import Authority, Script, serving
from appliance.agent.test_run import Box, free_port
from appliance.fill.scripted_source import ScriptedSource
from appliance.fill.signing import STRANGER, message, signed
from scenarios.stack import until

from sluice.fill.v1 import fill_pb2
from sluice_runtime.metrics import parse_exposition

CAPACITY_BYTES = 2_000_000
FILM, OTHER, EVIL, HUGE = (
    random.Random(size).randbytes(size) for size in (300_000, 400_000, 500_000, 3_000_000)
)
IN_FORCE = 10


@dataclass
class System:
    """A box whose capacity is small, and its control plane, which runs in a thread."""

    box: Box
    script: Script
    source: ScriptedSource
    loop: asyncio.AbstractEventLoop

    def publish(self, manifest: fill_pb2.SignedManifest) -> None:
        self.loop.call_soon_threadsafe(self.script.publish, manifest)

    def counters(self) -> dict[str, float]:
        page = self.box.get(self.box.admin, "/metrics") or b""
        return dict(parse_exposition(page.decode()))

    def refused(self, reason: str) -> float:
        name = f'sluice_appliance_fill_manifests_refused_total{{reason="{reason}"}}'
        return self.counters().get(name, 0.0)

    def serves(self, title: str, body: bytes) -> bool:
        return self.box.get(self.box.data, f"/{title}/v1/0.mp4") == body

    def asked_for(self) -> set[str]:
        return {key.partition("/")[0] for _, key, _ in list(self.source.asked)}

    def stored_bytes(self) -> int:
        """On disk, whatever the box says."""
        return sum(
            path.stat().st_blocks * 512
            for folder in ("objects", "partial")
            for path in (self.box.root / "store" / folder).rglob("*")
            if path.is_file()
        )


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    root: Path = tmp_path_factory.mktemp("manifests")
    script = Script(Authority())
    (root / "pinned-ca.pem").write_bytes(script.authority.pem)
    ports = free_port(), free_port()
    box = Box(
        root,
        control_plane=f"127.0.0.1:{ports[0]}",
        enrolment=f"127.0.0.1:{ports[1]}",
        capacity_bytes=CAPACITY_BYTES,
        pull_through=False,
    )
    bodies = {"film": FILM, "other": OTHER, "evil": EVIL, "huge": HUGE}
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(_control_plane(script, root, ports, bodies))
        process = stack.enter_context(box.running())
        found = System(box, script, *running)
        found.publish(signed(message(IN_FORCE, {"film": [FILM]})))
        until("the film is held", lambda: found.serves("film", FILM), within_s=40)
        yield found
        assert process.poll() is None
        assert "Traceback" not in (root / "log").read_text()


@contextlib.contextmanager
def _control_plane(
    script: Script, root: Path, ports: tuple[int, int], bodies: dict[str, bytes]
) -> Iterator[tuple[ScriptedSource, asyncio.AbstractEventLoop]]:
    source = ScriptedSource({f"{title}/v1/0.mp4": body for title, body in bodies.items()})
    began, stop = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def live() -> None:
        loops.append(asyncio.get_running_loop())
        async with (
            source.serving(),
            serving(script, root / "server", port=ports[0], enrolment_port=ports[1]),
        ):
            script.sources = [
                fill_pb2.FillSource(
                    source_id="origin",
                    kind=fill_pb2.FILL_SOURCE_KIND_ORIGIN,
                    base_url=f"{source.base_url}good/",
                )
            ]
            began.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(live(),))
    thread.start()
    try:
        assert began.wait(20)
        yield source, loops[0]
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join()


def test_a_manifest_that_a_stranger_signed_changes_nothing_and_is_told_of(system: System) -> None:
    before = system.box.health()["manifest_revision"]
    evil = message(IN_FORCE + 5, {"evil": [EVIL]})
    system.publish(signed(evil, key=STRANGER))
    until("it is refused", lambda: system.refused("signature") == 1, within_s=20)
    assert system.serves("film", FILM)
    assert system.box.health()["manifest_revision"] == before
    assert "evil" not in system.asked_for()


def test_a_manifest_that_is_older_than_the_one_in_force_changes_nothing_and_is_told_of(
    system: System,
) -> None:
    before = system.box.health()["manifest_revision"]
    system.publish(signed(message(IN_FORCE - 1, {"evil": [EVIL]})))
    until("it is refused", lambda: system.refused("older") >= 1, within_s=20)
    assert system.serves("film", FILM)
    assert system.box.health()["manifest_revision"] == before
    assert "evil" not in system.asked_for()


def test_of_a_manifest_that_is_too_big_for_the_disk_comes_what_fits_and_nothing_is_let_go_for_the_rest(
    system: System,
) -> None:
    wanted = {"huge": [HUGE], "film": [FILM], "other": [OTHER]}
    system.publish(signed(message(IN_FORCE + 10, wanted)))
    until("the rest comes", lambda: system.serves("other", OTHER), within_s=30)
    assert system.serves("film", FILM)
    assert system.box.health()["wanted_bytes"] == len(HUGE) + len(FILM) + len(OTHER)
    assert system.box.health()["held_bytes"] == len(FILM) + len(OTHER)
    assert "huge" not in system.asked_for()
    assert system.stored_bytes() <= CAPACITY_BYTES
    assert system.counters()["sluice_appliance_fill_disk_errors_total"] == 0
    report = system.script.last_report
    until("it is told", lambda: report().held_objects == 2, within_s=20)
    assert (report().wanted_objects, len(report().complete_titles)) == (3, 2)
