"""Policies, priorities, disks and returns over the wire, and what becomes of them after a restart."""

import asyncio
from pathlib import Path

import grpc
from control_plane.rig import Box, Rig, control_plane, eventually, refused

from sluice.content.v1 import content_pb2, content_pb2_grpc
from sluice.fill.v1 import fill_pb2
from sluice.fleet.v1 import fleet_pb2, fleet_pb2_grpc
from sluice_control_plane.identity.roles import Role

NIGHT = fill_pb2.FillPolicy(
    windows=[
        fill_pb2.FillWindow(start_minute=120, duration_minutes=720, time_zone="Europe/Madrid")
    ],
    drive_writes_per_day=0.5,
)


async def _set(
    rig: Rig, policy: fill_pb2.FillPolicy, *, by: str = "", etag: str = "", site: str = "site-a"
) -> fleet_pb2.SetFillPolicyResponse:
    channel = rig.channel(Role.PARTNER, by) if by else rig.channel(Role.OPERATOR)
    return await fleet_pb2_grpc.FleetServiceStub(channel).SetFillPolicy(
        fleet_pb2.SetFillPolicyRequest(site=f"sites/{site}", policy=policy, etag=etag)
    )


async def _get(rig: Rig, site: str = "site-a") -> fleet_pb2.GetFillPolicyResponse:
    stub = fleet_pb2_grpc.FleetServiceStub(rig.channel(Role.OPERATOR))
    return await stub.GetFillPolicy(fleet_pb2.GetFillPolicyRequest(site=f"sites/{site}"))


async def _signed_policy(box: Box) -> fill_pb2.FillPolicy:
    return (await box.manifest()).policy


def test_a_policy_is_signed_into_the_manifests_of_its_site_alone_and_outlives_a_restart(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            boxes = await rig.found_fleet()
            assert (await _get(rig)).policy == fill_pb2.FillPolicy()
            await _set(rig, NIGHT)

            async def signed() -> bool:
                return await _signed_policy(boxes["a-2"]) == NIGHT

            await eventually(signed)
            assert await _signed_policy(boxes["b-1"]) == fill_pb2.FillPolicy()
            revision = (await boxes["a-2"].manifest()).revision
        async with control_plane(tmp_path) as rig:
            box = Box("a-2", rig.channel(Role.APPLIANCE, "a-2"), "127.0.10.2")
            manifest = await box.manifest()
            assert (manifest.policy, manifest.revision) == (NIGHT, revision)
            assert (await _get(rig)).policy == NIGHT

    asyncio.run(story())


def test_a_partner_sets_its_own_sites_within_what_the_operator_allows_to_flash(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            await rig.found_fleet()
            first = await _set(rig, NIGHT)
            async with refused(grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED"):
                await _set(rig, NIGHT, by="partner-b")
            for more in (0.6, 0.0):
                async with refused(grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED"):
                    await _set(rig, fill_pb2.FillPolicy(drive_writes_per_day=more), by="partner-a")
            own = fill_pb2.FillPolicy(rate_bits_per_s_max=10**8, drive_writes_per_day=0.2)
            await _set(rig, own, by="partner-a", etag=first.etag)
            async with refused(grpc.StatusCode.ABORTED, "ETAG_MISMATCH"):
                await _set(rig, NIGHT, etag=first.etag)
            # What the operator allowed is not what the partner asked for.
            back = fill_pb2.FillPolicy(drive_writes_per_day=0.5)
            await _set(rig, back, by="partner-a")
            assert (await _get(rig)).drive_writes_per_day_max == 0.5
            async with refused(grpc.StatusCode.NOT_FOUND, "NOT_FOUND"):
                await _set(rig, NIGHT, site="site-z")
            async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"):
                await _set(rig, fill_pb2.FillPolicy(billed_percentile=1))

    asyncio.run(story())


def test_what_an_operator_calls_urgent_comes_first_in_every_manifest(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            boxes = await rig.found_fleet()
            for title_id in ("old", "new"):
                await rig.create_title(title_id)
            stub = content_pb2_grpc.ContentServiceStub(rig.channel(Role.OPERATOR))
            for title_id, priority in (
                ("old", fill_pb2.FILL_PRIORITY_EMERGENCY),
                ("new", fill_pb2.FILL_PRIORITY_NORMAL),
            ):
                answer = await stub.SetTitlePriority(
                    content_pb2.SetTitlePriorityRequest(
                        name=f"titles/{title_id}", priority=priority
                    )
                )
                assert answer.title.priority == priority

            async def told() -> bool:
                manifest = await boxes["a-1"].manifest()
                return [(each.title, each.priority) for each in manifest.titles] == [
                    ("titles/old", fill_pb2.FILL_PRIORITY_EMERGENCY),
                    ("titles/new", fill_pb2.FILL_PRIORITY_NORMAL),
                ]

            await eventually(told)
            async with refused(grpc.StatusCode.NOT_FOUND, "NOT_FOUND"):
                await stub.SetTitlePriority(
                    content_pb2.SetTitlePriorityRequest(name="titles/other")
                )

    asyncio.run(story())


def test_a_disk_that_failed_is_shown_counted_once_and_remembered(tmp_path: Path) -> None:
    failed = fill_pb2.DiskReport(
        disk="ssd-1",
        tier=fill_pb2.DISK_TIER_SSD,
        state=fill_pb2.DISK_STATE_FAILED,
        reason="EIO at look-up",
        capacity_bytes=1000,
    )

    def count(rig: Rig, name: str) -> float | None:
        registry = rig.running.metrics.registry
        return registry.get_sample_value(f"sluice_control_plane_{name}")

    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            boxes = await rig.found_fleet()
            for _ in range(3):
                await boxes["a-1"].report("film/v1", disks=[failed])
            assert list((await rig.appliance("a-1")).disks) == [failed]
            assert (count(rig, "failed_disks"), count(rig, "disk_failures_total")) == (1, 1)
        async with control_plane(tmp_path) as rig:
            assert list((await rig.appliance("a-1")).disks) == [failed]
            box = Box("a-1", rig.channel(Role.APPLIANCE, "a-1"), "127.0.10.1")
            await box.report(disks=[failed])
            assert (count(rig, "failed_disks"), count(rig, "disk_failures_total")) == (1, 0)
            await box.report()
            assert count(rig, "failed_disks") == 0

    asyncio.run(story())


def test_the_return_on_fill_is_told_of_each_box_and_of_its_site(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            boxes = await rig.found_fleet()
            await boxes["a-1"].report(filled_bytes_total=100, offloaded_bytes_total=300)
            await boxes["a-2"].report(filled_bytes_total=100, offloaded_bytes_total=0)
            boxes["a-1"].incarnation = "second"
            await boxes["a-1"].report(filled_bytes_total=0, offloaded_bytes_total=100)
            registry = rig.running.metrics.registry
            box = {"site": "site-a", "appliance": "a-1"}
            name = "sluice_control_plane_{}"
            assert registry.get_sample_value(name.format("filled_bytes_total"), box) == 100
            assert registry.get_sample_value(name.format("offloaded_bytes_total"), box) == 400
            assert registry.get_sample_value(name.format("fill_roi"), box) == 4.0
            site = {"site": "site-a"}
            assert registry.get_sample_value(name.format("site_fill_roi"), site) == 2.0
            shown = (await rig.appliance("a-1")).fill
            assert (shown.filled_bytes, shown.offloaded_bytes) == (100, 400)

    asyncio.run(story())
