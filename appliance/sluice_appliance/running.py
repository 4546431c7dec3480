"""`sluice-appliance run` and `sluice-appliance check-config`."""

import argparse
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sluice_appliance.config import ApplianceConfig
from sluice_runtime import config as settings


def add_to(verbs: "argparse._SubParsersAction[Any]", *, wall_clock: Callable[[], float]) -> None:
    run = verbs.add_parser(
        "run",
        help="be an appliance of a fleet",
        description="Serves, enrols with the control plane, fills by its manifests and reports.",
        epilog="example: sluice-appliance run --config /etc/sluice/appliance.toml",
    )
    run.add_argument("--config", type=Path, required=True, metavar="FILE", help="the settings")
    run.set_defaults(act=_run, wall_clock=wall_clock)
    check = verbs.add_parser(
        "check-config",
        help="read a configuration and say what is wrong with it",
        description="Reads FILE as `run` does; says `FILE: ok`, or file, line and reason.",
        epilog="example: sluice-appliance check-config /etc/sluice/appliance.toml",
    )
    check.add_argument("file", type=Path, metavar="FILE", help="what to check")
    check.set_defaults(act=_check)


def _check(arguments: argparse.Namespace) -> int:
    try:
        settings.load(arguments.file, ApplianceConfig)
    except settings.ConfigError as error:
        return _refuse(str(error))
    sys.stdout.write(f"{arguments.file}: ok\n")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    """0 told to stop, 2 a setting is wrong, an address is taken or the store is another's."""
    try:
        config = settings.load(arguments.config, ApplianceConfig)
    except settings.ConfigError as error:
        return _refuse(str(error))
    # Here, as gRPC and what stands on it would cost `serve` and `import` some tenths of a second.
    from sluice_appliance.errors import CannotStart
    from sluice_appliance.supervisor import own_box

    try:
        own_box(config, random.Random(), wall_clock=arguments.wall_clock)
    except CannotStart as error:
        return _refuse(f"{arguments.config}: {error}")
    return 0


def _refuse(reason: str) -> int:
    sys.stderr.write(f"{reason}\n")
    return 2
