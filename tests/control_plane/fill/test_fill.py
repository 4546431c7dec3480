"""Which reports are believed, and what is told of titles and objects over the wire."""

import asyncio
from pathlib import Path

import grpc
import pytest
from control_plane.rig import Box, control_plane, eventually, refused

from sluice.fill.v1 import fill_pb2
from sluice_control_plane.errors import InvalidRequest
from sluice_control_plane.fill.reports import faults_of, report_of
from sluice_control_plane.metrics import FAULT_KINDS


def test_every_kind_of_fault_in_the_contract_has_a_label_of_its_own() -> None:
    kinds = fill_pb2.SourceFaultKind.keys()
    assert [kind.removeprefix("SOURCE_FAULT_KIND_").lower() for kind in kinds] == list(FAULT_KINDS)


@pytest.mark.parametrize(
    "changes",
    [
        {"complete_titles": ["film"]},
        {"complete_titles": ["Film/v1"]},
        {"complete_titles": ["film/v1/x"]},
        {"held_bytes": -1},
        {"incarnation": "two\nlines"},
    ],
    ids=str,
)
def test_a_malformed_report_is_refused(changes: dict[str, object]) -> None:
    fields = {"appliance": "appliances/a-1", "incarnation": "one", **changes}
    with pytest.raises(InvalidRequest):
        report_of(fill_pb2.ReportFillRequest(**fields))  # type: ignore[arg-type]


def test_faults_of_a_kind_that_is_newer_than_ours_are_counted_as_unspecified() -> None:
    request = fill_pb2.ReportFillRequest(
        source_faults=[
            fill_pb2.SourceFault(kind=99, count=2),  # type: ignore[arg-type]
            fill_pb2.SourceFault(kind=fill_pb2.SOURCE_FAULT_KIND_STALLED, count=3),
        ]
    )
    assert faults_of(request) == {0: 2, 2: 3}


def test_a_report_is_shown_and_its_faults_are_counted_by_kind(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            boxes = await rig.found_fleet()
            fault = fill_pb2.SourceFault(
                source_id="origin", kind=fill_pb2.SOURCE_FAULT_KIND_DIGEST_MISMATCH, count=4
            )
            await boxes["a-1"].report(
                manifest_revision=3, held_objects=1, wanted_objects=2, source_faults=[fault]
            )
            seen = (await rig.appliance("a-1")).fill
            assert (seen.manifest_revision, seen.held_objects, seen.wanted_objects) == (3, 1, 2)
            registry = rig.running.metrics.registry
            name = "sluice_control_plane_source_faults_total"
            assert registry.get_sample_value(name, {"kind": "digest_mismatch"}) == 4

    asyncio.run(story())


def test_sources_are_asked_for_the_version_that_is_published_alone(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            boxes = await rig.found_fleet()
            async with refused(grpc.StatusCode.NOT_FOUND, "NOT_FOUND"):
                await boxes["a-1"].sources("film")

    asyncio.run(story())


BLOCKS = {"h264-720p.mp4": bytes(range(16))}


def test_the_digests_of_blocks_are_kept_and_come_with_the_sources_of_their_title_alone(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            boxes = await rig.found_fleet()
            made = await rig.create_title("film", blocks=BLOCKS)
            assert [item.block_digests for item in made.objects] == [b"", bytes(range(16)), b""]
            await rig.create_title("other")
            await rig.known("film", "other")
            answer = await boxes["a-1"].list_sources("film")
            assert [(each.key, each.block_digests) for each in answer.blocks] == [
                ("film/v1/h264-720p.mp4", bytes(range(16)))
            ]
            assert not (await boxes["a-1"].list_sources("other")).blocks

    asyncio.run(story())


def test_one_object_is_told_with_its_title_its_digests_and_where_it_may_be_fetched(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            boxes = await rig.found_fleet()
            made = await rig.create_title("film", blocks=BLOCKS)
            await rig.known("film")
            answer = await boxes["a-1"].look_up("film/v1/h264-720p.mp4")
            assert (answer.title, answer.version) == ("titles/film", "v1")
            assert answer.object.sha256 == made.objects[1].sha256
            assert answer.object.size_bytes == made.objects[1].size_bytes
            assert answer.block_digests == bytes(range(16))
            listed = await boxes["a-1"].list_sources("film")
            assert list(answer.sources) == list(listed.sources)
            assert not (await boxes["a-1"].look_up("film/v1/master.m3u8")).block_digests

    asyncio.run(story())


@pytest.mark.parametrize(
    "key", ["", "film", "film/v1", "film/v2/x", "film/v1/x", "no/v1/x", "a//b"]
)
def test_an_object_of_no_title_is_not_found_whatever_it_is_called(tmp_path: Path, key: str) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            boxes = await rig.found_fleet()
            await rig.create_title("film")
            await rig.known("film")
            async with refused(grpc.StatusCode.NOT_FOUND, "NOT_FOUND"):
                await boxes["a-1"].look_up(key)

    asyncio.run(story())


def test_sources_are_signed_where_tokens_are_asked_for_also_for_one_object(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path, tokens="required") as rig:
            boxes = await rig.found_fleet()
            await rig.create_title("film")
            await rig.known("film")
            await rig.all_up(boxes)
            await boxes["a-2"].report("film/v1")

            async def from_a_peer() -> bool:
                answer = await boxes["a-1"].look_up("film/v1/master.m3u8")
                return answer.sources[0].source_id == "a-2"

            await eventually(from_a_peer)
            answer = await boxes["a-1"].look_up("film/v1/master.m3u8")
            assert "/;CAT=" in answer.sources[0].base_url

    asyncio.run(story())


def test_one_box_of_a_site_goes_afar_at_once_and_when_it_falls_the_other_does(
    tmp_path: Path,
) -> None:
    async def waits(box: Box) -> list[float]:
        answer = await box.list_sources("film")
        return [each.wait.ToTimedelta().total_seconds() for each in answer.sources]

    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            boxes = await rig.found_fleet()
            await rig.create_title("film")
            await rig.known("film")
            await rig.all_up(boxes)
            told = {each: await waits(boxes[each]) for each in ("a-1", "a-2")}
            leaders = [each for each, there in told.items() if not any(there)]
            assert len(leaders) == 1
            (other,) = {"a-1", "a-2"} - set(leaders)
            assert min(told[other]) > 0
            await boxes[leaders[0]].beat(serving=False)
            assert not any(await waits(boxes[other]))

    asyncio.run(story())
