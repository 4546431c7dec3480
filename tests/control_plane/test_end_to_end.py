"""From an empty folder to a film that is placed, filled, live and steered; then a restart."""

import asyncio
from pathlib import Path
from typing import Any

from control_plane.rig import Box, Check, Rig, control_plane, eventually, first

from sluice.content.v1 import content_pb2, content_pb2_grpc
from sluice.fill.v1 import fill_pb2
from sluice.fleet.v1 import fleet_pb2, fleet_pb2_grpc
from sluice.steering.v1 import map_pb2, steering_pb2, steering_pb2_grpc
from sluice_control_plane.identity.roles import Role

FILM = "film/v1"


async def _film_is_live(rig: Rig) -> bool:
    return (await rig.title()).state == content_pb2.TITLE_STATE_LIVE


async def _fill(rig: Rig, boxes: dict[str, Box]) -> None:
    await rig.create_title()
    await rig.all_up(boxes)
    for box in boxes.values():
        await box.report(FILM)
    await eventually(lambda: _film_is_live(rig))

    async def told() -> bool:
        return all([(await box.manifest()).titles for box in boxes.values()])

    await eventually(told)


def test_a_film_goes_live_when_each_site_holds_a_copy_and_is_steered_to_its_own_site(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            boxes = await rig.found_fleet()
            await rig.create_title()
            await rig.all_up(boxes)
            manifest = await boxes["a-1"].manifest()
            while not manifest.titles:
                manifest = await boxes["a-1"].manifest(manifest.revision)
            assert [title.title for title in manifest.titles] == ["titles/film"]
            assert [item.size_bytes for item in manifest.titles[0].objects] == [100] * 3

            await boxes["a-1"].report(FILM)
            assert (await rig.title()).state == content_pb2.TITLE_STATE_FILLING
            await boxes["b-1"].report(FILM)
            await eventually(lambda: _film_is_live(rig))

            async def steered() -> bool:
                answer = (await rig.explain("10.2.9.9", "titles/film")).answer
                return list(answer) == ["appliances/b-1"]

            await eventually(steered)
            peer, near, origin = await boxes["b-2"].sources("film")
            assert peer == ("b-1", fill_pb2.FILL_SOURCE_KIND_PEER, "http://127.0.10.3:8081/")
            assert near[:2] == ("a-1", fill_pb2.FILL_SOURCE_KIND_SITE)
            assert origin[1] == fill_pb2.FILL_SOURCE_KIND_ORIGIN

    asyncio.run(story())


def test_a_restart_of_the_control_plane_empties_nobody_from_the_map_and_repeats_nothing(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            boxes = await rig.found_fleet()
            await _fill(rig, boxes)
            await eventually(_settled(rig))
            before = rig.steering_map()
            manifest = await boxes["a-1"].manifest()
        async with control_plane(tmp_path) as rig:
            assert rig.steering_map() == before
            assert rig.named() == ["a-1", "a-2", "b-1", "b-2"]
            assert (await rig.title()).state == content_pb2.TITLE_STATE_LIVE
            box = Box("a-1", rig.channel(Role.APPLIANCE, "a-1"), "127.0.10.1", sequence=90)
            assert await box.manifest() == manifest
            assert [name for name, _, _ in await box.sources("film")][-1] == "origin"

    asyncio.run(story())


def test_appliances_that_do_not_come_back_after_a_restart_leave_the_map(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            await rig.all_up(await rig.found_fleet())
        quick = {"heartbeat_interval_s": 0.2, "heartbeat_deadline_s": 0.5}
        async with control_plane(tmp_path, **quick) as rig:
            boxes = {"a-1": Box("a-1", rig.channel(Role.APPLIANCE, "a-1"), "127.0.10.1", "again")}

            async def only_the_living() -> bool:
                await boxes["a-1"].beat()
                return rig.named() == ["a-1"]

            await eventually(only_the_living)

    asyncio.run(story())


def test_a_fleet_that_falls_silent_all_at_once_is_named_on_but_not_who_says_it_cannot_serve(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        settings = {"heartbeat_interval_s": 0.2, "heartbeat_deadline_s": 0.5}
        async with control_plane(tmp_path, **settings) as rig:
            boxes = await rig.found_fleet()
            await rig.all_up(boxes)
            await boxes["a-1"].beat(serving=False)
            # Nobody beats any more.
            await eventually(_all_down(rig))
            await eventually(_named(rig, ["a-2", "b-1", "b-2"]))

            async def one_is_back() -> bool:
                await boxes["b-1"].beat()
                return rig.named() == ["b-1"]

            await eventually(one_is_back)

    asyncio.run(story())


def _all_down(rig: Rig) -> Check:
    async def check() -> bool:
        stub = fleet_pb2_grpc.FleetServiceStub(rig.channel(Role.OPERATOR, "admin"))
        answer = await stub.ListAppliances(fleet_pb2.ListAppliancesRequest())
        return all(each.health == fleet_pb2.APPLIANCE_HEALTH_DOWN for each in answer.appliances)

    return check


def test_a_silent_appliance_leaves_the_map_within_the_deadline_and_half_a_second(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        settings = {"heartbeat_interval_s": 0.3, "heartbeat_deadline_s": 1.5}
        async with control_plane(tmp_path, **settings) as rig:
            boxes = await rig.found_fleet()
            await rig.all_up(boxes)
            clock = asyncio.get_running_loop().time
            silent = boxes.pop("b-1")
            await silent.beat()
            since = clock()

            async def gone() -> bool:
                for box in boxes.values():
                    await box.beat()
                return "b-1" not in rig.named()

            await eventually(gone)
            # Two cores shared by all tests: a second of slack over what is promised.
            assert 1.5 <= clock() - since < 1.5 + 0.5 + 1.0
            assert rig.named() == ["a-1", "a-2", "b-2"]

    asyncio.run(story())


def test_a_drained_appliance_is_named_no_more_and_keeps_its_manifest(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            boxes = await rig.found_fleet()
            await _fill(rig, boxes)
            manifest = await boxes["a-1"].manifest()
            fleet = fleet_pb2_grpc.FleetServiceStub(rig.channel(Role.PARTNER, "partner-a"))
            drain = fleet_pb2.DrainApplianceRequest(name="appliances/a-1")
            assert (await fleet.DrainAppliance(drain)).appliance.drained
            await eventually(_named(rig, ["a-2", "b-1", "b-2"]))
            assert await boxes["a-1"].beat()
            assert await boxes["a-1"].manifest() == manifest
            await fleet.UndrainAppliance(fleet_pb2.UndrainApplianceRequest(name="appliances/a-1"))
            await eventually(_named(rig, ["a-1", "a-2", "b-1", "b-2"]))

    asyncio.run(story())


def test_maps_are_signed_and_a_watch_resumes_after_the_revision_it_has(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            boxes = await rig.found_fleet()
            stub = steering_pb2_grpc.SteeringServiceStub(rig.channel(Role.STEERER))
            signed = (await first(stub.WatchMap(steering_pb2.WatchMapRequest()))).map
            purpose = "sluice.steering.v1.SteeringMap"
            rig.verifier.verify(
                purpose, signed.payload, signature=signed.signature, by=signed.key_id
            )
            await rig.all_up(boxes)
            await eventually(_settled(rig))
            have = rig.steering_map().revision
            watch = stub.WatchMap(steering_pb2.WatchMapRequest(revision=have))
            reading = asyncio.ensure_future(first(watch))
            await boxes["a-1"].beat(serving=False)
            newer = map_pb2.SteeringMap.FromString((await reading).map.payload)
            assert newer.revision == have + 1
            named = [each.appliance for each in newer.appliances]
            assert named == ["appliances/a-2", "appliances/b-1", "appliances/b-2"]

    asyncio.run(story())


def test_watchers_of_titles_hear_of_a_new_title_and_of_its_going(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            stub = content_pb2_grpc.ContentServiceStub(rig.channel(Role.SERVICE))
            watch: Any = stub.WatchTitles(content_pb2.WatchTitlesRequest())
            assert not (await watch.read()).titles
            await rig.create_title()
            registry = await watch.read()
            (title,) = registry.titles
            assert [item.key for item in title.objects] == ["film/v1/integrity.json"]
            operator = content_pb2_grpc.ContentServiceStub(rig.channel(Role.OPERATOR))
            await operator.DeleteTitle(content_pb2.DeleteTitleRequest(name="titles/film"))
            after = await watch.read()
            assert (list(after.titles), after.revision) == ([], registry.revision + 1)
            watch.cancel()

    asyncio.run(story())


def _named(rig: Rig, expected: list[str]) -> Check:
    async def check() -> bool:
        return rig.named() == expected

    return check


def _settled(rig: Rig) -> Check:
    """True once a round passed without a new map."""
    seen: list[int] = []

    async def check() -> bool:
        await asyncio.sleep(0.15)
        seen.append(rig.steering_map().revision)
        return len(seen) > 1 and seen[-1] == seen[-2]

    return check
