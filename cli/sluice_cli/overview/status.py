"""Asks every process and the control plane how they are, and shows it."""

import asyncio
from dataclasses import dataclass

import aiohttp
from rich.console import Console
from rich.table import Table

from sluice.content.v1 import content_pb2
from sluice.fleet.v1 import fleet_pb2
from sluice_cli.control_plane import as_operator
from sluice_cli.deployment import Deployment
from sluice_cli.errors import DeskError
from sluice_cli.fleet.calls import all_appliances
from sluice_cli.titles.calls import all_titles

_ASK_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    name: str
    admin: str
    healthy: bool
    # What the process says of itself, or why it could not be asked.
    detail: str
    log: str


@dataclass(frozen=True, slots=True)
class ApplianceStatus:
    id: str
    site: str
    address: str
    health: str
    health_reason: str
    drained: bool
    # "held/wanted" objects of its fill manifest.
    fill: str
    bytes_held: int
    bytes_wanted: int


@dataclass(frozen=True, slots=True)
class TitleStatus:
    id: str
    name: str
    state: str
    bucket: int
    version: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Status:
    gateway: str
    dns: str
    zone: str
    control_plane: str
    origin: str
    # Whether every process is healthy and the control plane could be asked.
    healthy: bool
    processes: tuple[ProcessStatus, ...]
    appliances: tuple[ApplianceStatus, ...]
    titles: tuple[TitleStatus, ...]
    # Why the fleet and the titles could not be had; empty when they could.
    control_plane_error: str


async def ask_status(deployment: Deployment) -> Status:
    """Asks every process and the control plane. What does not answer is said, not raised."""
    processes = await _ask_processes(deployment)
    boxes: list[fleet_pb2.Appliance] = []
    titles: list[content_pb2.Title] = []
    trouble = ""
    try:
        async with asyncio.timeout(2 * _ASK_TIMEOUT_S), as_operator(deployment) as channel:
            boxes = await all_appliances(channel)
            titles = await all_titles(channel)
    except DeskError as error:
        trouble = str(error)
    except TimeoutError:
        trouble = f"no answer from {deployment.control_plane} in {2 * _ASK_TIMEOUT_S:.0f} s"
    return Status(
        gateway=deployment.gateway,
        dns=deployment.dns,
        zone=deployment.zone,
        control_plane=deployment.control_plane,
        origin=deployment.origin,
        healthy=not trouble and all(process.healthy for process in processes),
        processes=processes,
        appliances=tuple(map(_appliance_status, boxes)),
        titles=tuple(map(_title_status, titles)),
        control_plane_error=trouble,
    )


async def _ask_processes(deployment: Deployment) -> tuple[ProcessStatus, ...]:
    timeout = aiohttp.ClientTimeout(total=_ASK_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        asked = [
            _ask_process(session, process.name, process.admin, process.log)
            for process in deployment.processes
        ]
        return tuple(await asyncio.gather(*asked))


async def _ask_process(
    session: aiohttp.ClientSession, name: str, admin: str, log: str
) -> ProcessStatus:
    try:
        async with session.get(f"{admin}/healthz") as answer:
            said = (await answer.text()).strip()[:500]
            return ProcessStatus(name, admin, answer.status == 200, said, log)
    except (aiohttp.ClientError, TimeoutError) as error:
        return ProcessStatus(name, admin, False, str(error) or type(error).__name__, log)


def _appliance_status(box: fleet_pb2.Appliance) -> ApplianceStatus:
    address = box.serving_address
    return ApplianceStatus(
        id=box.name.removeprefix("appliances/"),
        site=box.site.removeprefix("sites/"),
        address=f"{address.ipv4 or address.ipv6}:{address.port}",
        health=fleet_pb2.ApplianceHealth.Name(box.health).removeprefix("APPLIANCE_HEALTH_"),
        health_reason=box.health_reason,
        drained=box.drained,
        fill=f"{box.fill.held_objects}/{box.fill.wanted_objects}",
        bytes_held=box.fill.held_bytes,
        bytes_wanted=box.fill.wanted_bytes,
    )


def _title_status(title: content_pb2.Title) -> TitleStatus:
    return TitleStatus(
        id=title.name.removeprefix("titles/"),
        name=title.display_name,
        state=content_pb2.TitleState.Name(title.state).removeprefix("TITLE_STATE_"),
        bucket=title.bucket,
        version=title.version,
        seconds=title.duration.ToTimedelta().total_seconds(),
    )


def show_status(facts: Status) -> None:
    """Prints tables for people."""
    console = Console(highlight=False, soft_wrap=True)
    processes = Table("process", "health", "admin", box=None)
    # A path is there to be copied: folded where it is long, never cut.
    processes.add_column("log", overflow="fold")
    for process in facts.processes:
        health = "ok" if process.healthy else f"NOT OK: {process.detail}"
        processes.add_row(process.name, health, process.admin, process.log)
    console.print(processes)
    appliances = Table("appliance", "site", "address", "health", "fill", "MiB held", box=None)
    for box in facts.appliances:
        health = box.health + (" (drained)" if box.drained else "")
        held = f"{box.bytes_held / 2**20:.1f}/{box.bytes_wanted / 2**20:.1f}"
        appliances.add_row(box.id, box.site, box.address, health, box.fill, held)
    titles = Table("title", "name", "state", "bucket", "seconds", box=None)
    for title in facts.titles:
        titles.add_row(
            title.id, title.name, title.state, f"b{title.bucket:04d}", f"{title.seconds:.1f}"
        )
    if facts.control_plane_error:
        console.print(f"the control plane cannot be asked: {facts.control_plane_error}")
    else:
        console.print(appliances)
        console.print(titles)
    console.print(f"watch {facts.gateway} · DNS {facts.dns} zone {facts.zone}")
