"""`sluice-appliance serve`: an appliance's server alone over a store, no control plane, no token."""

import argparse
import asyncio
import os
import re
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
from sluice_appliance.serving.popularity import Popularity
from sluice_appliance.serving.popularity_page import PopularityPage
from sluice_appliance.serving.record_writer import check_records
from sluice_appliance.serving.settings import ServingSettings
from sluice_appliance.serving.shown import ClientShown
from sluice_appliance.serving.telling import Telling
from sluice_appliance.serving.tokens.gate import Demand
from sluice_appliance.store.disks import DiskPlace
from sluice_appliance.store.errors import StoreError
from sluice_appliance.store.membership import places
from sluice_runtime.addresses import Address, parse_address
from sluice_runtime.counters import SharedCounters
from sluice_runtime.lifecycle import stop_signals
from sluice_runtime.metrics import SharedCountersCollector, serve_admin

_WORKERS_MAX = 256
# It stands in headers as a token and as a cdn-id.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9.-]{0,62}")


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
        "--name",
        type=_name,
        default="sluice",
        help="what the box calls itself in Cache-Status, CDN-Loop and records (default: %(default)s)",
    )
    parser.add_argument(
        "--access-records",
        type=Path,
        metavar="FILE",
        help="append a line of JSON for each request, sampled when there are many (default: none)",
    )
    parser.add_argument(
        "--access-records-per-s",
        type=_records_per_s,
        default=Telling().records_per_s,
        metavar="N",
        help="of how many requests a second each worker tells at most (default: %(default)s)",
    )
    parser.add_argument(
        "--access-records-clients",
        choices=[shown.value for shown in ClientShown],
        default=Telling().clients,
        help="how much of a client's address is told (default: %(default)s)",
    )
    parser.add_argument(
        "--token-keys",
        type=Path,
        metavar="FILE",
        help="a JSON Web Key Set: only requests with a token signed by one of its keys are answered",
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


def _records_per_s(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}, expected 1 or more")
    return int(text)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r}, expected 1..63 of a-z, A-Z, 0-9, '.' and '-'")
    return text


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
    try:
        disks = places(arguments.store.absolute())
    except (StoreError, OSError) as error:
        return _refuse(f"{error} (option --store)")
    if arguments.access_records is not None:
        try:
            check_records(arguments.access_records)
        except OSError as error:
            return _refuse(f"{error} (option --access-records)")
    counters = serving_counters(arguments.workers)
    registry = CollectorRegistry()
    registry.register(SharedCountersCollector(counters))
    popularity = Popularity(2 * arguments.workers)
    pool = ServingPool(
        _settings(arguments, disks), arguments.listen, arguments.workers, counters, popularity
    )
    try:
        pool.bind()
    except TlsFilesRefused as error:
        return _refuse(f"{error} (options --tls-cert and --tls-key)")
    except ServingRefused as error:
        return _refuse(f"{error} (option --listen)")
    try:
        asyncio.run(
            _run(
                pool,
                registry,
                counters,
                popularity,
                arguments.admin,
                "https" if arguments.tls_cert else "http",
            )
        )
    except OSError as error:
        return _refuse(f"{error} (option --admin)")
    finally:
        pool.close()
    return 0


def _settings(arguments: argparse.Namespace, disks: tuple[DiskPlace, ...]) -> ServingSettings:
    return ServingSettings(
        store=str(arguments.store.absolute()),
        disks=disks,
        name=arguments.name,
        limits=Limits(client_connections=arguments.client_connections),
        telling=Telling(
            records=_absolute(arguments.access_records),
            records_per_s=arguments.access_records_per_s,
            clients=arguments.access_records_clients,
            appliance=arguments.name,
        ),
        tls_certificate=_absolute(arguments.tls_cert),
        tls_key=_absolute(arguments.tls_key),
        tokens=Demand.REQUIRED if arguments.token_keys else Demand.OFF,
        token_keys=_absolute(arguments.token_keys),
    )


def _absolute(path: Path | None) -> str:
    return "" if path is None else str(path.absolute())


async def _run(
    pool: ServingPool,
    registry: CollectorRegistry,
    counters: SharedCounters,
    popularity: Popularity,
    admin: Address | None,
    scheme: str,
) -> None:
    def health() -> tuple[bool, Mapping[str, object]]:
        return pool.takes_clients(), {
            "serving": pool.accepting(),
            "draining": pool.draining,
            "restarts": pool.restarts,
        }

    clock = asyncio.get_running_loop().time
    page = PopularityPage(popularity, counters.row(counters.rows - 1), clock)
    with stop_signals() as stop:
        async with AsyncExitStack() as stack:
            if admin is not None:
                await stack.enter_async_context(
                    serve_admin(admin.host, admin.port, registry, health, routes=page.routes())
                )
            async with asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(pool.run())
                obeying = tasks.create_task(obey(pool))
                saying = tasks.create_task(_say_ready(pool, scheme))
                draining = tasks.create_task(page.run())
                await stop.wait()
                draining.cancel()
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
