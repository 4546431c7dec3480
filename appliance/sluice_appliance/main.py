"""`sluice-appliance`: one verb, one thing that a box does. Each verb's module adds its own parser."""

import argparse
import sys
from collections.abc import Sequence
from time import monotonic, time

from sluice_appliance import running
from sluice_appliance.serving import command as serving_command
from sluice_appliance.store import command as store_command
from sluice_appliance.store import importing
from sluice_runtime import lifecycle, logs


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done or told to stop, 1 it failed, 2 the command line or a file is wrong."""
    lifecycle.die_with_keeper()
    logs.configure("sluice-appliance")
    arguments = _parser().parse_args(argv)
    return int(arguments.act(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sluice-appliance",
        description="The box in the provider's rack: it serves, stores and fills objects.",
        epilog="example: sluice-appliance serve --store /srv/sluice --listen 127.0.0.1:8081",
    )
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    serving_command.add_to(verbs)
    importing.add_to(verbs)
    store_command.add_to(verbs, clock=monotonic)
    running.add_to(verbs, wall_clock=time)
    return parser


if __name__ == "__main__":
    sys.exit(main())
