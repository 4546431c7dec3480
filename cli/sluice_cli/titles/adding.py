"""From a file to a title that plays: the encoder publishes it, then its fill is followed until live."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import grpc.aio

from sluice.content.v1 import content_pb2, content_pb2_grpc
from sluice.fleet.v1 import fleet_pb2, fleet_pb2_grpc
from sluice_cli.control_plane import PAGE_SIZE, RPC_TIMEOUT_S, as_operator
from sluice_cli.deployment import Deployment
from sluice_cli.titles.encoding import Progress, Published, encoder_command, run_encoder
from sluice_cli.titles.errors import AddFailed
from sluice_cli.titles.fill_progress import FillProgress, Held

LIVE_TIMEOUT_S = 600.0
_POLL_S = 0.25
# All may be held a moment before the control plane has heard of it.
_NOT_LIVE_SHARE_MAX = 0.99
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class AddedTitle:
    """A title that is live."""

    title: str
    version: str
    objects: int
    size_bytes: int
    seconds: float


async def add_title(
    deployment: Deployment,
    file: Path,
    *,
    name: str,
    title_id: str,
    attribution: str,
    progress: Progress,
    live_timeout_s: float = LIVE_TIMEOUT_S,
) -> AddedTitle:
    """Returns when viewers can play it. Raises AddFailed, or ControlPlaneRefused."""
    started = time.monotonic()
    command = encoder_command(
        deployment, file, name=name, title_id=title_id, attribution=attribution
    )
    published = await run_encoder(command, progress)
    async with as_operator(deployment) as channel:
        await follow_fill(channel, published, progress, timeout_s=live_timeout_s)
    return AddedTitle(
        title=published.title,
        version=published.version,
        objects=published.objects,
        size_bytes=published.size_bytes,
        seconds=round(time.monotonic() - started, 3),
    )


async def follow_fill(
    channel: grpc.aio.Channel, published: Published, progress: Progress, *, timeout_s: float
) -> None:
    """Returns when the version is live. Raises AddFailed after `timeout_s`, saying who holds what."""
    share = FillProgress()
    appliances: list[fleet_pb2.Appliance] = []
    try:
        async with asyncio.timeout(timeout_s):
            while not await _is_live(channel, published):
                appliances = await _appliances(channel)
                done = share.observe(
                    Held(box.fill.wanted_bytes, box.fill.held_bytes) for box in appliances
                )
                progress("fill", min(done, _NOT_LIVE_SHARE_MAX), _held_by(appliances))
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise AddFailed(
            f"{published.title} is published and not live after {timeout_s:.0f} s "
            f"({_held_by(appliances) or 'no appliance'}); it goes on: see `sluice fleet list`"
        ) from None
    progress("fill", 1.0, "live")


async def _is_live(channel: grpc.aio.Channel, published: Published) -> bool:
    content = content_pb2_grpc.ContentServiceStub(channel)
    answer = await content.GetTitle(
        content_pb2.GetTitleRequest(name=published.title), timeout=RPC_TIMEOUT_S
    )
    title = answer.title
    if title.version != published.version:
        raise AddFailed(f"{title.name} is at version {title.version}, expected {published.version}")
    return title.state == content_pb2.TITLE_STATE_LIVE


async def _appliances(channel: grpc.aio.Channel) -> list[fleet_pb2.Appliance]:
    fleet = fleet_pb2_grpc.FleetServiceStub(channel)
    answer = await fleet.ListAppliances(
        fleet_pb2.ListAppliancesRequest(page_size=PAGE_SIZE), timeout=RPC_TIMEOUT_S
    )
    return list(answer.appliances)


def _held_by(appliances: list[fleet_pb2.Appliance]) -> str:
    return ", ".join(
        f"{box.name.removeprefix('appliances/')} "
        f"{box.fill.held_bytes / _MB:.0f}/{box.fill.wanted_bytes / _MB:.0f} MB"
        for box in appliances[:8]
    )
