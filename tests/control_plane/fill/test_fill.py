"""Where an appliance may fetch, and which reports are believed."""

import asyncio
from pathlib import Path

import grpc
import pytest
from control_plane.rig import control_plane, refused
from hypothesis import given
from hypothesis import strategies as st

from sluice.fill.v1 import fill_pb2
from sluice_control_plane.errors import InvalidRequest
from sluice_control_plane.fill.reports import faults_of, report_of
from sluice_control_plane.fill.sources import SOURCES_MAX, Holder, rank_sources
from sluice_control_plane.metrics import FAULT_KINDS

ORIGIN = "http://127.0.0.1:8090/"


@given(
    st.dictionaries(st.integers(0, 40).map(lambda n: f"x-{n}"), st.sampled_from("ab"), max_size=40),
    st.integers(0, 1023),
)
def test_sources_are_peers_then_other_sites_then_the_origin_and_never_oneself(
    sites: dict[str, str], bucket: int
) -> None:
    holders = [Holder(each, f"site-{site}", f"http://{each}/") for each, site in sites.items()]
    sources = rank_sources("x-0", "site-a", bucket, holders, ORIGIN)
    kinds = [source.kind for source in sources]
    assert kinds == sorted(kinds)
    assert sources[-1].source_id == "origin"
    assert len(sources) == min(SOURCES_MAX, 1 + len(sites.keys() - {"x-0"}))
    assert "x-0" not in [source.source_id for source in sources]


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
