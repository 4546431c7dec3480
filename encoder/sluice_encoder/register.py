"""Tells the control plane of a title that is in the origin."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import grpc
import grpc.aio

from sluice.content.v1 import content_pb2, content_pb2_grpc
from sluice_encoder.errors import RegistrationFailed
from sluice_encoder.integrity import INTEGRITY, Measured
from sluice_encoder.ladder import Ladder
from sluice_encoder.manifests import Representation
from sluice_encoder.package import DASH, MASTER
from sluice_runtime import rpc

CALL_TIMEOUT_S = 10.0
# A control plane that restarts is back within seconds; one that is gone longer is for a person.
ATTEMPTS_MAX = 5
RETRY_WAIT_S_MAX = 2.0
_AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_CONTENT_TYPES = {
    ".mp4": "video/mp4",
    ".m3u8": "application/vnd.apple.mpegurl",
    ".mpd": "application/dash+xml",
    ".json": "application/json",
}


@dataclass(frozen=True, slots=True)
class TitleFacts:
    title_id: str
    display_name: str
    attribution: str
    version: str
    duration_s: float


def content_type(name: str) -> str:
    """The media type of a published file."""
    if name.startswith("aac-"):
        return "audio/mp4"
    return _CONTENT_TYPES.get("." + name.rpartition(".")[2], "application/octet-stream")


def title_message(
    facts: TitleFacts,
    ladder: Ladder,
    files: Sequence[Measured],
    said: dict[str, Representation],
) -> content_pb2.Title:
    """What the registry stores; `said` is the DASH manifest's word on each media file."""
    prefix = f"{facts.title_id}/{facts.version}"
    title = content_pb2.Title(
        display_name=facts.display_name,
        version=facts.version,
        attribution=facts.attribution,
        hls_key=f"{prefix}/{MASTER}",
        dash_key=f"{prefix}/{DASH}",
        integrity_key=f"{prefix}/{INTEGRITY}",
    )
    title.duration.FromTimedelta(timedelta(seconds=facts.duration_s))
    sizes = {each.name: each.size_bytes for each in files}
    shapes = [(rung.name, rung.width, rung.height) for rung in ladder.video]
    if ladder.audio is not None:
        shapes.append((ladder.audio.name, 0, 0))
    for name, width, height in shapes:
        file = f"{name}.mp4"
        title.renditions.add(
            rendition_id=name,
            key=f"{prefix}/{file}",
            codecs=said[file].codecs,
            width=width,
            height=height,
            bitrate_kbps=max(1, round(sizes[file] * 8 / 1000 / facts.duration_s)),
            language=said[file].language,
        )
    for each in files:
        title.objects.add(
            key=f"{prefix}/{each.name}",
            size_bytes=each.size_bytes,
            sha256=bytes.fromhex(each.sha256),
            content_type=content_type(each.name),
            block_digests=each.block_digests,
        )
    return title


async def register(
    target: str,
    tls: rpc.TlsFiles,
    title_id: str,
    title: content_pb2.Title,
    *,
    request_id: str,
    rng: random.Random,
) -> None:
    """Creates the title. One that is there in this version already is what was asked for.
    Raises RegistrationFailed."""
    try:
        channel = rpc.open_channel(target, tls)
    except OSError as error:
        raise RegistrationFailed(f"{error.filename}: {error.strerror}") from None
    request = content_pb2.CreateTitleRequest(title_id=title_id, title=title, request_id=request_id)
    async with channel:
        service = content_pb2_grpc.ContentServiceStub(channel)
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                await service.CreateTitle(request, timeout=CALL_TIMEOUT_S)
                return
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.ALREADY_EXISTS:
                    await _same_version(service, title_id, title.version)
                    return
                if error.code() not in _AGAIN or attempt == ATTEMPTS_MAX:
                    raise RegistrationFailed(_sentence(target, error)) from None
            await asyncio.sleep(rng.uniform(0.1, RETRY_WAIT_S_MAX))


async def _same_version(
    service: "content_pb2_grpc.ContentServiceAsyncStub", title_id: str, version: str
) -> None:
    name = f"titles/{title_id}"
    try:
        there = await service.GetTitle(
            content_pb2.GetTitleRequest(name=name), timeout=CALL_TIMEOUT_S
        )
    except grpc.aio.AioRpcError as error:
        raise RegistrationFailed(_sentence(name, error)) from None
    if there.title.version != version:
        raise RegistrationFailed(
            f"{name} is there in version {there.title.version}, this is {version}: "
            f"remove it first, or choose another --title-id"
        )


def _sentence(about: str, error: grpc.aio.AioRpcError) -> str:
    details = " ".join((error.details() or "no details").split())
    return f"{about}: {error.code().name}: {details}"
