"""`sluice-appliance serve`: an appliance's server alone over a store, no control plane, no token."""

import argparse
from typing import Any


def add_to(verbs: "argparse._SubParsersAction[Any]") -> None:
    parser = verbs.add_parser(
        "serve",
        help="serve a store over HTTP, alone",
        description="Serves the objects of a store over HTTP or HTTPS until it is told to stop.",
        epilog="example: sluice-appliance serve --store /srv/sluice --listen 0.0.0.0:8081 --workers 2",
    )
    parser.set_defaults(act=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    raise NotImplementedError
