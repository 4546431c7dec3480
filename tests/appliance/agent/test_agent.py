"""The agent against a scripted control plane over real TLS, and a real source."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from time import time

from appliance.agent.scripted_control_plane import Authority, Script, serving
from appliance.deadline import until
from appliance.fill.scripted_source import ScriptedSource
from appliance.fill.signing import STRANGER, message, signed

from sluice.fill.v1 import fill_pb2
from sluice_appliance.agent.agent import Agent, AgentSettings
from sluice_appliance.agent.enrolment import EnrolmentRequest
from sluice_appliance.agent.reporter import Standing, Vitals
from sluice_appliance.agent.tally import AgentTally
from sluice_appliance.agent.title_demand import TitleDemand
from sluice_appliance.fill.bookkeeper import Bookkeeper
from sluice_appliance.fill.http_source import HttpSources
from sluice_appliance.fill.pressure import Load
from sluice_appliance.fill.tally import FillTally
from sluice_appliance.fill.worker import FillSettings
from sluice_appliance.metrics import supervisor_counters
from sluice_appliance.store.store import Store
from sluice_appliance.store.threaded import ThreadedStore

BODY = random.Random(5).randbytes(50_000)
KEY = "film/v1/0.mp4"


class Place:
    """A folder, an authority, a control plane's script and a source."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.script = Script(Authority())
        self.counters = supervisor_counters()
        self.ca = root / "pinned-ca.pem"
        self.ca.write_bytes(self.script.authority.pem)

    @contextlib.asynccontextmanager
    async def running(
        self, ports: tuple[int, int], *, token: str = "the-token"
    ) -> AsyncIterator[Agent]:
        with Store.open(self.root / "store") as store:
            async with HttpSources.open_session() as session:
                agent = self._agent(store, HttpSources(session), ports, token)
                async with asyncio.TaskGroup() as group:
                    life = group.create_task(agent.run())
                    try:
                        yield agent
                    finally:
                        life.cancel()

    def _agent(
        self, store: Store, reader: HttpSources, ports: tuple[int, int], token: str
    ) -> Agent:
        tally = FillTally(self.counters)
        return Agent(
            AgentSettings(
                enrolment=EnrolmentRequest(
                    appliance="appliances/a-1",
                    target=f"127.0.0.1:{ports[1]}",
                    token=token,
                    certificate_authority=self.ca,
                    identity=self.root / "identity",
                ),
                control_plane=f"127.0.0.1:{ports[0]}",
                manifest=self.root / "manifest.signed",
                signed_token_keys=self.root / "token-keys.signed",
                token_keys=self.root / "token-keys.json",
                fill=FillSettings(concurrency=2, stall_s=1.0),
            ),
            Standing("appliances/a-1", "life-1", "127.0.0.9", "", 8081, False, "0.1.0", 1 << 30),
            store=ThreadedStore(store),
            reader=reader,
            fill_tally=tally,
            books=Bookkeeper(self.root / "accounts.json", tally, wall_clock=time, sent=lambda: 7),
            load=Load,
            tally=AgentTally(self.counters),
            demand=TitleDemand(),
            vitals=lambda stored_bytes: Vitals(True, stored_bytes, 0.25, 7),
            rng=random.Random(1),
        )

    def counted(self, name: str) -> int:
        return self.counters.totals()[name]


def origin(source: ScriptedSource, way: str = "good") -> fill_pb2.FillSource:
    return fill_pb2.FillSource(
        source_id="origin",
        kind=fill_pb2.FILL_SOURCE_KIND_ORIGIN,
        base_url=f"{source.base_url}{way}/",
    )


def test_a_box_enrols_beats_fills_and_reports(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.script.publish(signed(message(4, {"film": [BODY]})))

    async def story() -> None:
        async with (
            ScriptedSource({KEY: BODY}).serving() as source,
            serving(place.script, tmp_path / "server") as ports,
        ):
            place.script.sources = [origin(source)]
            async with place.running(ports):
                await until(
                    "the title is reported complete",
                    lambda: place.script.last_report().complete_titles == ["film/v1"],
                )
                await until("three heartbeats", lambda: len(place.script.heartbeats) >= 3)

    asyncio.run(story())
    report = place.script.last_report()
    assert (report.appliance, report.incarnation) == ("appliances/a-1", "life-1")
    assert [disk.state for disk in report.disks] == [fill_pb2.DISK_STATE_IN_USE]
    assert (report.filled_bytes_total, report.offloaded_bytes_total) == (len(BODY), 7)
    assert (report.manifest_revision, report.held_objects, report.held_bytes) == (4, 1, len(BODY))
    beat = place.script.heartbeats[-1]
    assert [beat.sequence for beat in place.script.heartbeats[:3]] == [1, 2, 3]
    assert (beat.serving_address.ipv4, beat.serving_address.port) == ("127.0.0.9", 8081)
    assert (beat.serving, beat.stored_bytes, beat.sent_bytes_total) == (True, len(BODY), 7)
    assert place.script.peers == {"spiffe://sluice/appliance/a-1"}
    assert (tmp_path / "identity" / "key.pem").stat().st_mode & 0o777 == 0o600


def test_a_later_start_needs_no_token_and_watches_on_from_the_manifest_it_holds(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path)
    place.script.publish(signed(message(4, {"film": [BODY]})))

    async def story() -> None:
        async with (
            ScriptedSource({KEY: BODY}).serving() as source,
            serving(place.script, tmp_path / "server") as ports,
        ):
            place.script.sources = [origin(source)]
            async with place.running(ports):
                await until("filled", lambda: place.script.last_report().held_objects == 1)
            place.script.reports.clear()
            place.script.watched_from.clear()
            async with place.running(ports, token="used up"):
                await until(
                    "reported at once", lambda: place.script.last_report().held_objects == 1
                )
                await until("watched", lambda: place.script.watched_from)
        assert set(place.script.watched_from) == {4}
        assert len(source.asked) == 1

    asyncio.run(story())


def test_a_box_started_without_its_control_plane_keeps_its_manifest_and_rejoins_by_itself(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path)
    place.script.publish(signed(message(4, {"film": [BODY]})))

    async def story() -> None:
        async with ScriptedSource({KEY: BODY}).serving() as source:
            place.script.sources = [origin(source)]
            async with (
                serving(place.script, tmp_path / "server") as ports,
                place.running(ports),
            ):
                await until("filled", lambda: place.script.last_report().held_objects == 1)
            async with place.running(ports) as agent:
                await until(
                    "a heartbeat failed",
                    lambda: place.counted("sluice_appliance_heartbeats_failed_total"),
                )
                await until("the manifest of the last run is in force", agent.progress)
                progress = agent.progress()
                assert progress is not None
                assert progress.complete_titles == ("film/v1",)
                assert not agent.connected
                place.script.reports.clear()
                async with serving(
                    place.script, tmp_path / "server", port=ports[0], enrolment_port=ports[1]
                ):
                    await until("it is back", lambda: agent.connected)
                    await until("it reports", lambda: place.script.last_report().held_objects == 1)

    asyncio.run(story())


def test_strangers_and_older_manifests_change_nothing_and_are_counted(tmp_path: Path) -> None:
    place = Place(tmp_path)
    refused = "sluice_appliance_fill_manifests_refused_total"

    async def story() -> None:
        async with (
            ScriptedSource({KEY: BODY}).serving() as source,
            serving(place.script, tmp_path / "server") as ports,
        ):
            place.script.sources = [origin(source)]
            async with place.running(ports) as agent:
                place.script.publish(signed(message(4, {"film": [BODY]})))
                await until("filled", lambda: place.script.last_report().held_objects == 1)
                place.script.publish(signed(message(9, {}), key=STRANGER))
                place.script.publish(signed(message(3, {})))
                await until(
                    "both refusals are counted",
                    lambda: (
                        place.counted(f'{refused}{{reason="signature"}}') == 1
                        and place.counted(f'{refused}{{reason="older"}}') == 1
                    ),
                )
                progress = agent.progress()
                assert progress is not None
                assert (progress.manifest_revision, progress.held_objects) == (4, 1)

    asyncio.run(story())


def test_a_lying_source_is_reported_by_name_and_kind_of_fault(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.script.publish(signed(message(4, {"film": [BODY]})))

    async def story() -> None:
        async with (
            ScriptedSource({KEY: BODY}).serving() as source,
            serving(place.script, tmp_path / "server") as ports,
        ):
            liar = fill_pb2.FillSource(
                source_id="a-2",
                kind=fill_pb2.FILL_SOURCE_KIND_PEER,
                base_url=f"{source.base_url}wrong/",
            )
            place.script.sources = [liar, origin(source)]
            async with place.running(ports):
                await until("filled", lambda: place.script.last_report().held_objects == 1)

    asyncio.run(story())
    faults = [fault for report in place.script.reports for fault in report.source_faults]
    assert [(fault.source_id, fault.kind, fault.count) for fault in faults] == [
        ("a-2", fill_pb2.SOURCE_FAULT_KIND_DIGEST_MISMATCH, 1)
    ]


def test_a_wrong_token_is_counted_and_the_box_does_not_give_up(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.script.token = "another"

    async def story() -> None:
        async with (
            serving(place.script, tmp_path / "server") as ports,
            place.running(ports) as agent,
        ):
            await until(
                "a try failed",
                lambda: place.counted("sluice_appliance_enrolments_failed_total"),
            )
            assert not agent.enrolled
            place.script.token = "the-token"
            await until("it enrolled", lambda: agent.enrolled)

    asyncio.run(story())


def test_a_token_for_another_appliance_makes_no_identity(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.script.enrols_as = "appliances/a-2"

    async def story() -> None:
        async with (
            serving(place.script, tmp_path / "server") as ports,
            place.running(ports) as agent,
        ):
            await until(
                "a try failed",
                lambda: place.counted("sluice_appliance_enrolments_failed_total"),
            )
            assert not agent.enrolled
        assert not (tmp_path / "identity" / "cert.pem").exists()

    asyncio.run(story())


def test_a_control_plane_that_the_pinned_authority_does_not_vouch_for_gets_no_token(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path)
    place.ca.write_bytes(Authority().pem)

    async def story() -> None:
        async with (
            serving(place.script, tmp_path / "server") as ports,
            place.running(ports) as agent,
        ):
            await until(
                "a try failed",
                lambda: place.counted("sluice_appliance_enrolments_failed_total"),
            )
            assert not agent.enrolled

    asyncio.run(story())


def test_what_fill_and_misses_write_to_flash_is_taken_of_one_days_writes(tmp_path: Path) -> None:
    place = Place(tmp_path)
    # Of a store of one folder, which is as large as can be: some 9 MB.
    wanted = message(4, {"film": [BODY]})
    wanted.policy.drive_writes_per_day = 1e-12
    day_bytes = 1e-12 * (2**63 - 1)
    place.script.publish(signed(wanted))

    async def story() -> None:
        async with (
            ScriptedSource({KEY: BODY}).serving() as source,
            serving(place.script, tmp_path / "server") as ports,
        ):
            place.script.sources = [origin(source)]
            async with place.running(ports) as agent:
                # Nothing is known of a limit before there is a manifest.
                assert agent.take_flash(1000)
                await until(
                    "the title is reported complete",
                    lambda: place.script.last_report().complete_titles == ["film/v1"],
                )
                left_bytes = int(agent.flash_left_bytes())
                assert left_bytes == int(day_bytes - len(BODY) - 1000)
                assert not agent.take_flash(left_bytes + 1)
                assert agent.take_flash(left_bytes)
                assert agent.flash_left_bytes() < 1
                assert not agent.take_flash(1)

    asyncio.run(story())
