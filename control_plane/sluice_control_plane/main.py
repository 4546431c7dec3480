"""`sluice-control-plane`: the truth of the CDN, and the keys that it is signed with."""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sluice_control_plane.config import ControlPlaneSettings
from sluice_control_plane.database import DatabaseUnavailable
from sluice_control_plane.errors import InvalidRequest
from sluice_control_plane.identity.roles import Role
from sluice_control_plane.identity.state_folder import IDENTITIES, StateUnusable, issue, prepare
from sluice_control_plane.reconciler import Clocks
from sluice_control_plane.resource_names import check_id
from sluice_control_plane.serving import AddressUnusable, serve
from sluice_control_plane.steering.from_files import add_compile_map
from sluice_runtime import config, lifecycle, logs

PROGRAM = "sluice-control-plane"
USAGE_ERROR = 2
log = logs.get_logger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except (
        config.ConfigError,
        StateUnusable,
        DatabaseUnavailable,
        AddressUnusable,
        InvalidRequest,
    ) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return USAGE_ERROR
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        PROGRAM,
        description="Fleet, titles, routes, placement and the steering map, over gRPC.",
        epilog=f"example: {PROGRAM} run --config control-plane.toml",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = _command(commands, "run", "serve until SIGTERM", "run --config control-plane.toml")
    run.add_argument("--config", type=Path, required=True, metavar="FILE")
    run.set_defaults(run=_run)

    check = _command(
        commands, "check-config", "say whether a file is right", "check-config control-plane.toml"
    )
    check.add_argument("file", type=Path, metavar="FILE")
    check.set_defaults(run=_check_config)

    init = _command(
        commands,
        "init",
        "make authority, keys and identities; those there stay",
        "init --state /var/lib/sluice/control-plane",
    )
    init.add_argument("--state", type=Path, required=True, metavar="DIR")
    init.set_defaults(run=_init)

    issuing = _command(
        commands,
        "issue",
        "write an identity for a caller",
        "issue --state DIR --role partner --name partner-a --out partner-a/",
    )
    issuing.add_argument("--state", type=Path, required=True, metavar="DIR")
    issuing.add_argument("--role", type=Role, required=True, choices=list(Role))
    issuing.add_argument("--name", required=True, help="such as partner-a")
    issuing.add_argument("--out", type=Path, required=True, metavar="DIR")
    issuing.set_defaults(run=_issue)

    add_compile_map(commands)
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    sentence: str,
    example: str,
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name, help=sentence, description=sentence, epilog=f"example: {PROGRAM} {example}"
    )


def _check_config(arguments: argparse.Namespace) -> int:
    config.load(arguments.file, ControlPlaneSettings)
    print(f"{arguments.file}: ok")
    return 0


def _init(arguments: argparse.Namespace) -> int:
    prepare(arguments.state, now=time.time())
    print(f"{arguments.state}: authority, signing key and identities {', '.join(IDENTITIES)}")
    return 0


def _issue(arguments: argparse.Namespace) -> int:
    name = check_id(arguments.name, "--name")
    now = time.time()
    folder = prepare(arguments.state, now=now)
    try:
        made = issue(folder, arguments.role, name, arguments.out, now=now)
    except OSError as error:
        raise StateUnusable(f"{error.filename or arguments.out}: {error.strerror}") from None
    if not made:
        raise StateUnusable(f"{arguments.out / 'cert.pem'} is there; name another --out")
    print(f"{arguments.out}: identity of {arguments.role} {name}")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    lifecycle.die_with_keeper()
    logs.configure(PROGRAM)
    settings = config.load(arguments.config, ControlPlaneSettings)
    asyncio.run(_serve_until_told(settings))
    return 0


async def _serve_until_told(settings: ControlPlaneSettings) -> None:
    clocks = Clocks(wall=time.time, steady=time.monotonic)
    with lifecycle.stop_signals() as stop:
        async with serve(settings, clocks) as running, asyncio.TaskGroup() as group:
            log.info(
                "ready",
                listen=running.listen,
                enrolment_listen=running.enrolment_listen,
                admin_listen=settings.admin_listen,
                map_revision=running.publisher.map.revision,
            )
            stopped = group.create_task(stop.wait())
            await asyncio.wait({stopped, running.finished}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
    log.info("stopped")


if __name__ == "__main__":
    sys.exit(main())
