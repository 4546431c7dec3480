import asyncio
import json
import random
from pathlib import Path

import grpc
import pytest
from encoder import films
from encoder.conftest import PROGRAM
from encoder.scripted_registry import Registry, serving

from sluice.content.v1 import content_pb2
from sluice_encoder.errors import RegistrationFailed
from sluice_encoder.register import ATTEMPTS_MAX, register
from sluice_runtime import rpc

TITLE = content_pb2.Title(display_name="A film", version="v0123456789ab")


def _register(registry: Registry, room: Path) -> None:
    async def run() -> None:
        async with serving(registry, room) as target:
            tls = rpc.TlsFiles.in_folder(room / "publisher")
            await register(target, tls, "film", TITLE, request_id="one", rng=random.Random(1))

    asyncio.run(run())


def test_a_control_plane_that_is_busy_is_asked_again_with_the_same_request_id(
    tmp_path: Path,
) -> None:
    registry = Registry(failures=[grpc.StatusCode.UNAVAILABLE])

    _register(registry, tmp_path)

    assert [request.request_id for request in registry.seen] == ["one", "one"]
    assert registry.callers[0] == "spiffe://sluice/publisher/main"


def test_a_control_plane_that_stays_away_ends_the_job_after_a_bounded_number_of_attempts(
    tmp_path: Path,
) -> None:
    registry = Registry(failures=[grpc.StatusCode.UNAVAILABLE] * 100)

    with pytest.raises(RegistrationFailed, match="UNAVAILABLE: as the test says"):
        _register(registry, tmp_path)

    assert len(registry.seen) == ATTEMPTS_MAX


def test_a_refusal_is_not_repeated(tmp_path: Path) -> None:
    registry = Registry(failures=[grpc.StatusCode.PERMISSION_DENIED])

    with pytest.raises(RegistrationFailed, match="PERMISSION_DENIED"):
        _register(registry, tmp_path)

    assert len(registry.seen) == 1


def test_adding_what_is_there_already_is_done_and_another_version_is_refused(
    tmp_path: Path,
) -> None:
    exists = [grpc.StatusCode.ALREADY_EXISTS]
    _register(Registry(failures=list(exists), there=TITLE), tmp_path / "same")

    other = content_pb2.Title(version="vffffffffffff")
    with pytest.raises(
        RegistrationFailed, match=r"in version vffffffffffff, this is v0123456789ab"
    ):
        _register(Registry(failures=list(exists), there=other), tmp_path / "other")


def test_add_registers_every_file_with_its_true_size_and_digest(tmp_path: Path) -> None:
    registry = Registry()
    source = films.make(
        tmp_path / "film.mp4", *films.shapes(seconds=2), *films.tone(seconds=2), *films.FAST
    )

    events = asyncio.run(_add(registry, source, tmp_path))

    (request,) = registry.seen
    title = request.title
    assert (request.title_id, title.display_name) == ("film", "A film")
    assert title.attribution == "(c) us"
    assert events[-1]["version"] == title.version
    assert {each.rendition_id for each in title.renditions} == {"h264-180p", "aac-128k"}
    assert {each.codecs.split(".")[0] for each in title.renditions} == {"avc1", "mp4a"}
    assert title.duration.ToTimedelta().total_seconds() == pytest.approx(2.0, abs=0.1)
    keys = {each.key for each in title.objects}
    assert {title.hls_key, title.dash_key, title.integrity_key} <= keys
    for each in title.objects:
        assert (tmp_path / "origin" / each.key).stat().st_size == each.size_bytes
        assert len(each.sha256) == 32
        assert each.content_type != "application/octet-stream"


async def _add(registry: Registry, source: Path, room: Path) -> list[dict[str, object]]:
    async with serving(registry, room / "ids") as target:
        process = await asyncio.create_subprocess_exec(
            *(PROGRAM, "add", str(source), "--title-id", "film", "--name", "A film"),
            *("--attribution", "(c) us", "--origin", str(room / "origin")),
            *("--control-plane", target, "--identity", str(room / "ids" / "publisher")),
            *("--work", str(room / "work"), "--json-progress"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, errors = await process.communicate()
    assert process.returncode == 0, errors
    return [json.loads(line) for line in out.splitlines()]
