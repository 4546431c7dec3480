"""One running system through which each fault of filling goes: what is held is whole, right and wanted, the
fault is counted and told, and the box lives.

Every source that does something wrong is a box of another site that says it holds the title; the origin, which
comes after it, is right.
"""

import contextlib
import datetime
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pytest
from scenarios.hostile_sources import SLOW_BYTES, WAYS, Conduct, body_of, serving
from scenarios.small_fleet import Box, SmallFleet, configure_box, enrol_impostor, small_fleet
from scenarios.stack import until

from sluice.fill.v1 import fill_pb2, fill_pb2_grpc
from sluice.fleet.v1 import fleet_pb2, fleet_pb2_grpc
from sluice_appliance.store.blocks import block_digests

IMPOSTORS = "127.0.30.1"
FAULT_OF = {
    "dies": "truncated",
    "few": "truncated",
    "lies": "digest_mismatch",
    "many": "overlong",
    "stalls": "stalled",
    "refuses": "unavailable",
    "redirects": "unavailable",
    "wrong_range": "wrong_range",
    "changes": "changed",
}
FAULTS = "sluice_appliance_fill_source_faults_total"
FETCHED = "sluice_appliance_fill_bytes_total"


@dataclass
class System:
    """A control plane, a box with a clock that can be set, and its sources."""

    fleet: SmallFleet
    box: Box
    process: "subprocess.Popen[bytes]"
    conduct: Conduct

    def publish(self, title: str, *, with_digests: bool = True) -> None:
        body = body_of(title)
        digests = {f"{title}.mp4": block_digests(body)} if with_digests else {}
        self.fleet.publish(title, {f"{title}.mp4": body}, block_digests=digests)

    def held(self, title: str) -> bool:
        """Whether the box serves it; and that it serves nothing but it."""
        served = self.box.get(f"{title}/v1/{title}.mp4")
        assert served is None or served == body_of(title), f"{title} is served wrong"
        return served is not None

    def fills(self, title: str, *, within_s: float = 60) -> None:
        until(f"{title} is held", lambda: self.held(title), within_s=within_s)

    def counted(self, kind: str, source: str) -> float:
        return self.box.counters()[f'{FAULTS}{{kind="{kind}",source="{source}"}}']

    def fetched_bytes(self) -> float:
        return sum(value for name, value in self.box.counters().items() if FETCHED in name)

    def postponed(self) -> float:
        return self.box.counters()["sluice_appliance_fill_postponed_titles"]

    def told(self, kind: str) -> float:
        """Of how many faults the control plane has heard."""
        name = f'sluice_control_plane_source_faults_total{{kind="{kind}"}}'
        return self.fleet.counters()[name]

    def set_clock(self, at: datetime.datetime) -> None:
        """The box's wall clock says so now, and goes on from there."""
        ahead = self.box.home / "clock.new"
        ahead.write_text(repr(at.timestamp() - time.time()))
        ahead.rename(self.box.home / "clock")

    def go_by(self, policy: fill_pb2.FillPolicy) -> None:
        """Returns when the box has a manifest with this policy."""
        before = self.box.health()["manifest_revision"]
        with self.fleet.channel(self.fleet.identity("operator")) as channel:
            fleet_pb2_grpc.FleetServiceStub(channel).SetFillPolicy(
                fleet_pb2.SetFillPolicyRequest(site="sites/site", policy=policy), timeout=10
            )
        until(
            "the policy is in force",
            lambda: self.box.health()["manifest_revision"] != before,
            within_s=10,
        )


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("faults")
    conduct = Conduct()
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(serving(conduct, "origin"))
        trap = stack.enter_context(serving(conduct, "trap"))
        fleet = stack.enter_context(small_fleet(folder, origin_url=f"http://127.0.0.1:{origin}/"))
        fleet.add_site("far")
        box = configure_box(
            fleet, "box", "127.0.30.2", fleet.add_box("box"), fill_stall_s=1.0, pull_through=False
        )
        ports = {
            way: stack.enter_context(
                serving(conduct, way, IMPOSTORS, elsewhere=f"http://127.0.0.1:{trap}/")
            )
            for way in WAYS
        }
        stack.enter_context(impostors(fleet, ports))
        (box.home / "clock").write_text("0")
        process = fleet.run(
            "box",
            *(sys.executable, "-m", "scenarios.box_with_clock"),
            *(str(box.home / "config.toml"), str(box.home / "clock")),
        )
        until("the box serves", lambda: box.health().get("control_plane"), within_s=30)
        yield System(fleet, box, process, conduct)
        assert process.poll() is None
        counters = box.counters()
        assert counters["sluice_appliance_worker_restarts_total"] == 0
        assert "Traceback" not in (folder / "box.log").read_text()


@contextlib.contextmanager
def impostors(fleet: SmallFleet, ports: dict[str, int]) -> Iterator[None]:
    """Boxes of another site, one for each way, each of which says that it holds the title of its name."""
    beats = []
    with contextlib.ExitStack() as stack:
        for way, port in ports.items():
            name = way.replace("_", "-")
            identity = fleet.folder / f"{name}-identity"
            enrol_impostor(fleet, fleet.add_box(name, site="far"), identity)
            channel = stack.enter_context(fleet.channel(identity))
            title = name
            fill_pb2_grpc.FillServiceStub(channel).ReportFill(
                fill_pb2.ReportFillRequest(
                    appliance=f"appliances/{name}",
                    incarnation="impostor",
                    complete_titles=[f"{title}/v1"],
                ),
                timeout=5,
            )
            beats.append(_beat_of(fleet_pb2_grpc.ApplianceServiceStub(channel), name, port))
        stop = threading.Event()

        def beat() -> None:
            sequence = 0
            while not stop.wait(0.3):
                sequence += 1
                for each in beats:
                    each(sequence)

        thread = threading.Thread(target=beat)
        thread.start()
        try:
            for way in ports:
                name = way.replace("_", "-")
                until(f"{name} is believed", partial(_is_up, fleet, name), within_s=40)
            yield
        finally:
            stop.set()
            thread.join()


def _is_up(fleet: SmallFleet, name: str) -> bool:
    return fleet.health(name) == fleet_pb2.APPLIANCE_HEALTH_UP


def _beat_of(
    stub: fleet_pb2_grpc.ApplianceServiceStub, name: str, port: int
) -> Callable[[int], object]:
    def beat(sequence: int) -> object:
        return stub.ReportHeartbeat(
            fleet_pb2.ReportHeartbeatRequest(
                appliance=f"appliances/{name}",
                incarnation="impostor",
                sequence=sequence,
                serving=True,
                serving_address=fleet_pb2.ServingAddress(ipv4=IMPOSTORS, port=port),
                capacity_bytes=1 << 30,
            ),
            timeout=5,
        )

    return beat


@pytest.mark.parametrize("way", WAYS)
def test_what_a_source_does_wrong_costs_time_and_never_a_wrong_byte(
    system: System, way: str
) -> None:
    kind = FAULT_OF[way]
    counted, told = system.counted(kind, "site"), system.told(kind)
    title = way.replace("_", "-")
    system.publish(title)
    system.fills(title)
    assert system.conduct.asked_of(way, title), "nobody asked the source that this is about"
    assert system.conduct.asked_of("origin", title)
    assert system.counted(kind, "site") == counted + 1
    until("it is told", lambda: system.told(kind) == told + 1, within_s=40)
    # Whoever is redirected asks nobody.
    assert [who for who, _, _ in system.conduct.asked if who == "trap"] == []
    if way in ("dies", "stalls"):
        # What had come is kept.
        assert min(system.conduct.asked_of("origin", title)) > 0


def test_an_origin_that_asks_for_time_is_given_it_and_then_gives_all(system: System) -> None:
    counted = system.counted("unavailable", "origin")
    system.conduct.busy.add("busy")
    system.publish("busy")
    until("it said that it is busy", lambda: system.conduct.busy_at, within_s=40)
    # Others are not asked for meanwhile either.
    system.publish("patient")
    system.fills("busy")
    system.fills("patient")
    assert time.monotonic() - system.conduct.busy_at > 2.0
    assert len(system.conduct.asked_of("origin", "busy")) == 2
    assert system.counted("unavailable", "origin") == counted + 1


def test_an_object_that_a_window_cuts_off_is_gone_on_with_in_the_next(system: System) -> None:
    title = "windowed"
    day = datetime.datetime(2027, 3, 9, tzinfo=datetime.UTC)
    windows = [fill_pb2.FillWindow(start_minute=60 * hour, duration_minutes=60) for hour in (1, 3)]
    system.set_clock(day + datetime.timedelta(minutes=30))
    system.go_by(fill_pb2.FillPolicy(windows=windows))
    system.conduct.slow.add(title)
    system.publish(title, with_digests=False)
    # Open at the last moment: it closes in the middle of the object.
    system.set_clock(day + datetime.timedelta(hours=1, minutes=59, seconds=58))
    until("it is on its way", lambda: system.conduct.asked_of("origin", title), within_s=40)
    until("it is cut off", lambda: not system.conduct.under_way, within_s=40)
    assert not system.held(title)
    fetched = system.fetched_bytes()
    until("a plan that waits", lambda: system.postponed() == 1, within_s=40)
    assert system.conduct.asked_of("origin", title) == [0]
    assert system.fetched_bytes() == fetched
    system.conduct.slow.discard(title)
    system.set_clock(day + datetime.timedelta(hours=3, seconds=1))
    system.fills(title)
    first, second = system.conduct.asked_of("origin", title)
    assert first == 0 < second
    system.go_by(fill_pb2.FillPolicy())


def test_a_clock_that_steps_gives_no_budget_twice_and_stops_nothing(system: System) -> None:
    title = "stepped"
    most = 600_000
    noon = datetime.datetime(2027, 5, 4, 12, tzinfo=datetime.UTC)
    system.set_clock(noon)
    until("all else is here", lambda: not system.conduct.under_way, within_s=40)
    system.go_by(fill_pb2.FillPolicy(window_bytes_max=most))
    system.conduct.slow.add(title)
    before = system.fetched_bytes()
    system.publish(title, with_digests=False)
    until("the day's bytes came", lambda: system.fetched_bytes() - before >= most, within_s=40)
    until("a plan that waits", lambda: system.postponed() == 1, within_s=40)
    for step in (-6, 5, -11):
        # Within the day of which all bytes are taken.
        system.set_clock(noon + datetime.timedelta(hours=step))
        system.publish(f"step{step + 11}")
        until("it is planned for", lambda: system.postponed() >= 2, within_s=40)
    assert system.fetched_bytes() - before < most + 3 * SLOW_BYTES
    assert not system.held(title)
    # Ten years on, in the middle of an object: nothing stops it.
    system.go_by(fill_pb2.FillPolicy())
    until("it goes on", lambda: len(system.conduct.asked_of("origin", title)) > 1, within_s=40)
    system.set_clock(noon.replace(year=2037))
    system.set_clock(noon.replace(year=2016))
    system.conduct.slow.discard(title)
    system.fills(title)
    assert system.conduct.asked_of("origin", title)[0] == 0
    system.fills("step0")
    accounts = system.box.home / "store" / "fill-accounts.json"
    until("its accounts are written", accounts.exists, within_s=20)
