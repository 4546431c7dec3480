"""Demand from an appliance's own reporter to the manifest that follows from it, over the wire."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import grpc
from control_plane.rig import Box, Rig, control_plane, eventually, refused

from sluice.demand.v1 import demand_pb2, demand_pb2_grpc
from sluice.fill.v1 import fill_pb2
from sluice_appliance.agent.demand_reporter import DemandReporter, DemandService
from sluice_appliance.agent.tally import AgentTally
from sluice_appliance.agent.title_demand import DemandReport, TitleDemand
from sluice_appliance.metrics import supervisor_counters
from sluice_appliance.serving.popularity import Hits
from sluice_control_plane.identity.roles import Role


def _service(box: Box, incarnation: str = "one") -> DemandService:
    appliance = f"appliances/{box.appliance_id}"
    return DemandService(box.channel, appliance=appliance, incarnation=incarnation)


def _counted(rig: Rig, name: str, **labels: str) -> float:
    registry = rig.running.metrics.registry
    return registry.get_sample_value(f"sluice_control_plane_demand_{name}", labels) or 0.0


async def _newest(box: Box) -> fill_pb2.FillManifest:
    return await box.manifest()


def _titles(manifest: fill_pb2.FillManifest) -> Iterator[tuple[str, float]]:
    for title in manifest.titles:
        yield title.title.removeprefix("titles/"), title.demand_bytes_per_s


def test_what_players_took_decides_the_order_of_the_manifest_over_a_restart_too(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            boxes = await rig.found_fleet()
            for title_id in ("old", "mid", "new"):
                await rig.create_title(title_id)

            async def placed() -> bool:
                return len(rig.running.reconciler.truth.catalog) == 3

            await eventually(placed)
            demand = TitleDemand()
            demand.add({"old/v1/x.mp4": Hits(9, 9_000_000), "mid/v1/x.mp4": Hits(1, 1_000)})
            tally = AgentTally(supervisor_counters())
            await DemandReporter(_service(boxes["a-1"]).report, demand, tally).report()
            assert demand.report() is None
            await rig.running.demand.keep()

            async def first_is_old() -> bool:
                told = dict(_titles(await _newest(boxes["a-1"])))
                return bool(told) and next(iter(told)) == "old" and told["old"] > told["mid"]

            await eventually(first_is_old)
            assert _counted(rig, "bytes_total", of="titles") == 9_001_000
            before = await _newest(boxes["a-1"])
        async with control_plane(tmp_path) as rig:
            boxes["a-1"].channel = rig.channel(Role.APPLIANCE, "a-1")
            assert await _newest(boxes["a-1"]) == before

    asyncio.run(story())


def test_a_report_whose_answer_was_lost_counts_once_over_a_restart_too(tmp_path: Path) -> None:
    report = DemandReport(7, {"film/v1": Hits(1, 500)})

    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            boxes = await rig.found_fleet()
            await rig.create_title()

            async def placed() -> bool:
                return "film/v1" in rig.running.reconciler.truth.versions

            await eventually(placed)
            for _ in range(3):
                await _service(boxes["a-1"]).report(report)
            assert _counted(rig, "reports_total", outcome="counted") == 1
            assert _counted(rig, "reports_total", outcome="repeated") == 2
            assert _counted(rig, "bytes_total", of="titles") == 500
        async with control_plane(tmp_path) as rig:
            box = Box("a-1", rig.channel(Role.APPLIANCE, "a-1"), "127.0.10.1")
            await _service(box).report(report)
            assert _counted(rig, "reports_total", outcome="repeated") == 1
            await _service(box, "two").report(report)
            assert _counted(rig, "reports_total", outcome="counted") == 1

    asyncio.run(story())


def test_a_hot_bucket_gets_another_copy_that_stays_over_a_restart(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path, copies_per_site=1) as rig:
            boxes = await rig.found_fleet()
            await rig.create_title()

            async def one_copy() -> bool:
                held = [len((await _newest(boxes[each])).titles) for each in ("a-1", "a-2")]
                return sorted(held) == [0, 1]

            await eventually(one_copy)
            await _service(boxes["a-1"]).report(DemandReport(1, {"film/v1": Hits(1, 500)}))
            await rig.running.demand.keep()

            async def two_copies() -> bool:
                return all([(await _newest(boxes[each])).titles for each in ("a-1", "a-2")])

            await eventually(two_copies)
            name = "sluice_control_plane_more_copies"
            assert rig.running.metrics.registry.get_sample_value(name) == 2
        async with control_plane(tmp_path, copies_per_site=1) as rig:
            # Site b, which told nothing, is taken for site a.
            assert rig.running.metrics.registry.get_sample_value(name) == 2

    asyncio.run(story())


def test_an_appliance_that_is_not_there_is_asked_to_come_again_and_a_stranger_is_refused(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            boxes = await rig.found_fleet()
            request = demand_pb2.ReportDemandRequest(
                appliance="appliances/a-9", incarnation="one", sequence=1
            )
            stub = demand_pb2_grpc.DemandServiceStub(boxes["a-1"].channel)
            async with refused(grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED"):
                await stub.ReportDemand(request)
            operator = demand_pb2_grpc.DemandServiceStub(rig.channel(Role.OPERATOR))
            async with refused(grpc.StatusCode.UNAVAILABLE, "NOT_READY"):
                await operator.ReportDemand(request)

    asyncio.run(story())
