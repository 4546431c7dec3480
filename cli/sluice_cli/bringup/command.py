"""The command line of `sluice up`."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from sluice_cli.errors import BadArgument, DeskError
from sluice_cli.options import DEFAULT_STATE, State, examples

EPILOG = examples(
    "sluice up",
    "sluice up --state /srv/sluice --seed holiday.mp4 --gateway-port 9000",
)
_GIB = 1 << 30


def up(
    state: State = DEFAULT_STATE,
    seed: Annotated[
        list[Path] | None,
        typer.Option(help="A video to make a title of; repeat it for more. Default: the film."),
    ] = None,
    gateway_port: Annotated[int, typer.Option(help="Web page and playback API.")] = 8080,
    dns_port: Annotated[int, typer.Option(help="Steering DNS, UDP and TCP.")] = 5353,
    control_plane_port: Annotated[int, typer.Option(help="gRPC with mutual TLS.")] = 8443,
    enrolment_port: Annotated[int, typer.Option(help="gRPC for boxes that enrol.")] = 8444,
    origin_port: Annotated[int, typer.Option(help="Where appliances fill from.")] = 8090,
    data_port: Annotated[int, typer.Option(help="Where appliances serve players.")] = 8081,
    appliance_admin_port: Annotated[int, typer.Option(help="Appliances' /metrics.")] = 9081,
    control_plane_admin_port: Annotated[int, typer.Option(help="Its /metrics.")] = 9443,
    dns_admin_port: Annotated[int, typer.Option(help="The DNS server's /metrics.")] = 9053,
    origin_admin_port: Annotated[int, typer.Option(help="The origin's /metrics.")] = 9090,
    capacity_gib: Annotated[
        int, typer.Option(help="What each of the four appliances may hold.", min=1)
    ] = 16,
    restart_delay_s: Annotated[
        float,
        typer.Option(help="Wait before a child that died is started again; doubles.", min=0.1),
    ] = 0.5,
) -> None:
    """Start the whole system on this machine and hold it until Ctrl-C."""
    from sluice_cli.bringup.layout import Ports
    from sluice_cli.bringup.seeds import seed_of
    from sluice_cli.bringup.terminal import Terminal
    from sluice_cli.bringup.up import UpOptions, bring_up

    for file in seed or ():
        if not file.is_file():
            raise BadArgument(f"--seed {file}: no such file")
    options = UpOptions(
        state=state,
        ports=Ports(
            gateway=gateway_port,
            dns=dns_port,
            control_plane=control_plane_port,
            enrolment=enrolment_port,
            origin=origin_port,
            data=data_port,
            appliance_admin=appliance_admin_port,
            control_plane_admin=control_plane_admin_port,
            dns_admin=dns_admin_port,
            origin_admin=origin_admin_port,
        ),
        seeds=tuple(seed_of(file) for file in seed or ()),
        capacity_bytes=capacity_gib * _GIB,
        restart_delay_s=restart_delay_s,
    )
    try:
        asyncio.run(bring_up(options, Terminal()))
    except BaseExceptionGroup as group:
        cause = _first_cause(group)
        if isinstance(cause, (DeskError, OSError)):
            raise DeskError(str(cause)) from None
        raise


def _first_cause(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
