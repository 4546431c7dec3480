"""Brings the system up and holds it: processes, fleet, film, then `ready` until told to stop."""

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc.aio

from sluice.fleet.v1 import fleet_pb2
from sluice_cli.bringup import fleet, layout
from sluice_cli.bringup.layout import Box, Ports, Program, StatePaths
from sluice_cli.bringup.playable import until_playable
from sluice_cli.bringup.ports import require_free
from sluice_cli.bringup.processes import Processes, StartFailed
from sluice_cli.bringup.seeds import Seed, seed_titles
from sluice_cli.bringup.terminal import Terminal
from sluice_cli.control_plane import as_operator
from sluice_cli.deployment import Deployment, RunningProcess, write_deployment
from sluice_cli.errors import DeskError
from sluice_cli.fleet.calls import all_appliances
from sluice_cli.titles.calls import all_titles
from sluice_runtime.lifecycle import Backoff, stop_signals

START_TIMEOUT_S = 60.0
_POLL_S = 0.1


class AlreadyRunning(DeskError):
    """Another `sluice up` holds the state folder."""


@dataclass(frozen=True, slots=True)
class UpOptions:
    state: Path
    ports: Ports
    seeds: tuple[Seed, ...]
    # Bytes that each embedded appliance may hold.
    capacity_bytes: int
    # The wait before a child that died is started again, doubling from here.
    restart_delay_s: float


async def bring_up(options: UpOptions, terminal: Terminal) -> None:
    """Runs until SIGINT or SIGTERM; every child is stopped when it returns. Raises a DeskError where it
    cannot come up, in an exception group once children run."""
    paths = _prepare(options.state)
    with _only_one(options.state):
        require_free(layout.listeners(options.ports))
        processes = Processes(
            Path(paths.logs),
            backoff=Backoff(initial_s=options.restart_delay_s),
            say=terminal.say,
            clock=time.monotonic,
        )
        with stop_signals() as stop:
            async with asyncio.TaskGroup() as group:
                coming_up = group.create_task(_come_up(options, paths, processes, terminal, group))
                await stop.wait()
                terminal.say("stopping")
                coming_up.cancel()
                processes.stop()
        terminal.say(f"stopped; the state stays in {options.state}")


def _prepare(state: Path) -> StatePaths:
    paths = StatePaths(state.resolve())
    for folder in (paths.root, paths.origin, paths.work):
        Path(folder).mkdir(parents=True, exist_ok=True)
    return paths


async def _come_up(
    options: UpOptions,
    paths: StatePaths,
    processes: Processes,
    terminal: Terminal,
    group: asyncio.TaskGroup,
) -> None:
    ports = options.ports
    base = [layout.origin_program(paths, ports), layout.control_plane_program(paths, ports)]
    edge = _edge_programs(options, paths, {}) if _all_enrolled(paths) else []
    deployment = _deployment(paths, ports, [*base, *_edge_programs(options, paths, {})], processes)
    write_deployment(options.state, deployment)
    first = "starting everything" if edge else "starting origin and control plane"
    with terminal.step(first):
        for program in [*base, *edge]:
            processes.start(program, group)
        await processes.until_healthy([*base, *edge], timeout_s=START_TIMEOUT_S)
    async with as_operator(deployment) as channel:
        await fleet.register_fleet(channel)
        if not edge:
            edge = _edge_programs(options, paths, await _tokens(paths, channel))
            with terminal.step("starting DNS, gateway and four appliances"):
                for program in edge:
                    processes.start(program, group)
                await processes.until_healthy(edge, timeout_s=START_TIMEOUT_S)
        with terminal.step("waiting until every appliance is up"):
            await _until_all_up(channel)
        await seed_titles(deployment, options.seeds, channel, Path(paths.work), terminal)
        titles = await all_titles(channel)
        with terminal.step("waiting until players are sent there"):
            await until_playable(deployment, titles, data_port=ports.data)
        terminal.table(deployment, titles)
    terminal.say(f"ready {deployment.gateway}")


def _all_enrolled(paths: StatePaths) -> bool:
    """Whether this is not the first run: then nobody has to wait for the control plane to start."""
    return all(_enrolled(paths, box) for box in layout.boxes())


def _enrolled(paths: StatePaths, box: Box) -> bool:
    return (Path(paths.appliance(box.appliance_id)) / "identity" / "cert.pem").exists()


async def _tokens(paths: StatePaths, channel: grpc.aio.Channel) -> dict[str, str]:
    return {
        box.appliance_id: await fleet.enrolment_token(channel, box.appliance_id)
        for box in layout.boxes()
        if not _enrolled(paths, box)
    }


def _edge_programs(
    options: UpOptions, paths: StatePaths, tokens: Mapping[str, str]
) -> list[Program]:
    ports = options.ports
    appliances = [
        layout.appliance_program(
            paths,
            ports,
            box,
            capacity_bytes=options.capacity_bytes,
            token=tokens.get(box.appliance_id),
        )
        for box in layout.boxes()
    ]
    return [layout.dns_program(paths, ports), layout.gateway_program(paths, ports), *appliances]


async def _until_all_up(channel: grpc.aio.Channel) -> None:
    """Waits until the control plane believes every embedded appliance to be up."""
    ours = {f"appliances/{box.appliance_id}" for box in layout.boxes()}
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while True:
                waiting = {
                    appliance.name: appliance.health_reason
                    for appliance in await all_appliances(channel)
                    if appliance.name in ours and appliance.health != fleet_pb2.APPLIANCE_HEALTH_UP
                }
                if not waiting:
                    return
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in sorted(waiting.items()))
        raise StartFailed(
            f"after {START_TIMEOUT_S:.0f} s the control plane says: {reasons}"
        ) from None


def _deployment(
    paths: StatePaths, ports: Ports, programs: list[Program], processes: Processes
) -> Deployment:
    return Deployment(
        gateway=f"http://127.0.0.1:{ports.gateway}",
        dns=f"127.0.0.1:{ports.dns}",
        zone=layout.ZONE,
        control_plane=f"127.0.0.1:{ports.control_plane}",
        origin=f"http://127.0.0.1:{ports.origin}/",
        origin_root=str(paths.origin),
        identity_operator=str(paths.identity("operator")),
        identity_publisher=str(paths.identity("publisher")),
        pid=os.getpid(),
        processes=tuple(
            RunningProcess(
                name=program.name,
                admin=program.admin_url,
                log=str(processes.log_path(program.name)),
            )
            for program in programs
        ),
    )


@contextlib.contextmanager
def _only_one(state: Path) -> Iterator[None]:
    with (state / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(
                f"another `sluice up` runs in {state}; stop it, or choose another --state DIR"
            ) from None
        yield
