"""`sluice-appliance serve`: an appliance's server alone over a store, no control plane, no token."""

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from sluice_appliance.metrics import serving_counters
from sluice_appliance.serving.errors import ServingRefused, TlsFilesRefused
from sluice_appliance.serving.limits import Limits
from sluice_appliance.serving.orders import obey
from sluice_appliance.serving.pool import ServingPool
from sluice_appliance.serving.tls import TlsFiles
from sluice_runtime.addresses import Address, parse_address
from sluice_runtime.lifecycle import stop_signals
from sluice_runtime.metrics import SharedCountersCollector, serve_admin

_WORKERS_MAX = 256


def add_to(verbs: "argparse._SubParsersAction[Any]") -> None:
    parser = verbs.add_parser(
        "serve",
        help="serve a store over HTTP, alone",
        description="Serves the objects of a store over HTTP or HTTPS until it is told to stop.",
        epilog="example: sluice-appliance serve --store /srv/sluice --listen 0.0.0.0:8081 --workers 2",
    )
    parser.add_argument(
        "--store", type=Path, required=True, metavar="DIR", help="the folder of the objects"
    )
    parser.add_argument(
        "--listen",
        type=_address,
        required=True,
        metavar="HOST:PORT",
        help="where clients connect; [V6]:PORT for IPv6, port 0 for one that is free",
    )
    parser.add_argument(
        "--workers",
        type=_workers,
        default=len(os.sched_getaffinity(0)),
        metavar="N",
        help="serving processes (default: one for each core)",
    )
    parser.add_argument(
        "--client-connections",
        type=_client_connections,
        default=Limits().client_connections,
        metavar="N",
        help="connections of one IPv4 address or IPv6 /56 that a worker takes"
        " (default: %(default)s; 0 for any number)",
    )
    parser.add_argument(
        "--tls-cert", type=Path, metavar="FILE", help="certificate chain, PEM: serve HTTPS"
    )
    parser.add_argument(
        "--tls-key", type=Path, metavar="FILE", help="the key of --tls-cert, PEM, unencrypted"
    )
    parser.add_argument(
        "--admin",
        type=_address,
        metavar="HOST:PORT",
        help="serve /metrics and /healthz there (default: nowhere)",
    )
    parser.set_defaults(act=_serve)


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _workers(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _WORKERS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r}, expected 1..{_WORKERS_MAX}")
    return int(text)


def _client_connections(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}, expected 0 or more")
    return int(text)


def _serve(arguments: argparse.Namespace) -> int:
    """0 told to stop, 2 an option is wrong or an address is taken."""
    if (arguments.tls_cert is None) != (arguments.tls_key is None):
        return _refuse("--tls-cert and --tls-key go together")
    if not arguments.store.is_dir():
        return _refuse(f"{arguments.store}: no such folder (option --store)")
    tls = TlsFiles(arguments.tls_cert, arguments.tls_key) if arguments.tls_cert else None
    counters = serving_counters(arguments.workers)
    registry = CollectorRegistry()
    registry.register(SharedCountersCollector(counters))
    pool = ServingPool(
        str(arguments.store.absolute()),
        arguments.listen,
        arguments.workers,
        tls,
        counters,
        limits=Limits(client_connections=arguments.client_connections),
    )
    try:
        pool.bind()
    except TlsFilesRefused as error:
        return _refuse(f"{error} (options --tls-cert and --tls-key)")
    except ServingRefused as error:
        return _refuse(f"{error} (option --listen)")
    try:
        asyncio.run(_run(pool, registry, arguments.admin, "https" if tls else "http"))
    except OSError as error:
        return _refuse(f"{error} (option --admin)")
    finally:
        pool.close()
    return 0


async def _run(
    pool: ServingPool, registry: CollectorRegistry, admin: Address | None, scheme: str
) -> None:
    def health() -> tuple[bool, Mapping[str, object]]:
        return pool.takes_clients(), {
            "serving": pool.accepting(),
            "draining": pool.draining,
            "restarts": pool.restarts,
        }

    with stop_signals() as stop:
        async with AsyncExitStack() as stack:
            if admin is not None:
                await stack.enter_async_context(
                    serve_admin(admin.host, admin.port, registry, health)
                )
            async with asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(pool.run())
                obeying = tasks.create_task(obey(pool))
                saying = tasks.create_task(_say_ready(pool, scheme))
                await stop.wait()
                saying.cancel()
                obeying.cancel()
                serving.cancel()


async def _say_ready(pool: ServingPool, scheme: str) -> None:
    await pool.until_accepting()
    sys.stdout.write(f"serving {scheme}://{pool.address}\n")
    sys.stdout.flush()


def _refuse(reason: str) -> int:
    sys.stderr.write(f"sluice-appliance serve: {reason}\n")
    return 2
