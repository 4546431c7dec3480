"""The command line of `sluice-dns`."""

import argparse
import asyncio
import random
import socket
import sys
import time
from pathlib import Path

from sluice_dns.config import (
    TCP_CONNECTIONS_MAX,
    TCP_CONNECTIONS_PER_ADDRESS_MAX,
    TCP_IDLE_TIMEOUT_S,
    WORKERS_MAX,
    DnsConfig,
    check_server_id,
)
from sluice_dns.listening import AddressUnavailable, listen_address
from sluice_dns.map_file import MapFile, read_verifier
from sluice_dns.metrics import SPECS
from sluice_runtime import config, lifecycle, logs
from sluice_runtime.addresses import Address
from sluice_runtime.counters import SharedCounters
from sluice_runtime.signatures import Verifier

USAGE = 2


class UsageError(Exception):
    """What was asked cannot be done as it was asked."""


def main(argv: list[str] | None = None) -> int:
    lifecycle.die_with_keeper()
    options = _parser().parse_args(argv)
    logs.configure("sluice-dns")
    try:
        return int(options.act(options))
    except (UsageError, config.ConfigError, AddressUnavailable) as error:
        print(f"sluice-dns: {error}", file=sys.stderr)
        return USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sluice-dns",
        description="Answers for the steered zone from a compiled steering map.",
        epilog="example: sluice-dns serve --map fleet.map --listen 127.0.0.1:5353",
    )
    commands = parser.add_subparsers(metavar="{serve,run,check-config}", required=True)
    _add_serve(commands)
    run = commands.add_parser(
        "run",
        help="answer from the control plane's maps",
        description="Watches the control plane for maps and answers from the last good one.",
        epilog="example: sluice-dns run --config /etc/sluice/dns.toml",
    )
    run.add_argument("--config", type=Path, required=True, metavar="FILE", help="TOML settings")
    run.set_defaults(act=_run)
    check = commands.add_parser(
        "check-config",
        help="say whether a settings file is right",
        description="Reads a settings file as `run` does; prints FILE: ok, or what is wrong and where.",
        epilog="example: sluice-dns check-config /etc/sluice/dns.toml",
    )
    check.add_argument("file", type=Path, metavar="FILE")
    check.set_defaults(act=_check_config)
    _add_worker(commands)
    return parser


def _add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    serve = commands.add_parser(
        "serve",
        help="answer from a map file alone",
        description="Answers from a map file, without a control plane; a replaced file is taken within 100 ms.",
        epilog="example: sluice-dns serve --map fleet.map --listen 127.0.0.1:5353 --listen [::1]:5353",
    )
    serve.add_argument("--map", type=Path, required=True, metavar="FILE", help="a signed map")
    serve.add_argument(
        "--listen",
        action="append",
        required=True,
        metavar="HOST:PORT",
        help="an address to answer at, UDP and TCP; may be repeated; port 0 takes a free one",
    )
    serve.add_argument(
        "--workers", type=int, default=1, metavar="N", help="UDP workers for each address (1)"
    )
    serve.add_argument(
        "--trust", type=Path, metavar="PEM", help="believe only maps signed by a key of this file"
    )
    serve.add_argument("--admin", metavar="HOST:PORT", help="where to show /metrics and /healthz")
    serve.add_argument("--server-id", default="", metavar="ID", help="the answer to NSID")
    serve.set_defaults(act=_serve)


def _add_worker(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    # What the supervisor starts; it has no line in the help because nobody types it.
    worker = commands.add_parser("worker", epilog="example: started by `sluice-dns serve`")
    for name in ("--socket", "--counters", "--rows", "--row"):
        worker.add_argument(name, type=int, required=True)
    worker.add_argument("--map", type=Path, required=True)
    worker.add_argument("--trust", type=Path)
    worker.add_argument("--server-id", default="")
    worker.set_defaults(act=_work)


def _serve(options: argparse.Namespace) -> int:
    from sluice_dns.stream import StreamLimits
    from sluice_dns.supervisor import Settings, Supervisor

    if not 1 <= options.workers <= WORKERS_MAX:
        raise UsageError(f"--workers is {options.workers}, expected 1..{WORKERS_MAX}")
    try:
        check_server_id(options.server_id)
    except ValueError as error:
        raise UsageError(f"--server-id: {error}") from None
    settings = Settings(
        listen=tuple(_address("--listen", text) for text in options.listen),
        workers=options.workers,
        admin=None if options.admin is None else _address("--admin", options.admin),
        admin_name="--admin",
        listen_name="--listen",
        map=options.map,
        trust=options.trust,
        server_id=options.server_id,
        limits=StreamLimits(
            TCP_CONNECTIONS_MAX, TCP_CONNECTIONS_PER_ADDRESS_MAX, TCP_IDLE_TIMEOUT_S
        ),
    )
    counters = _counters(settings.workers * len(settings.listen))
    maps = MapFile(options.map, _verifier(options.trust), row=counters.row(counters.rows - 1))
    if maps.newer(time.monotonic()) is None:
        raise UsageError(f"{options.map}: {maps.refusal or 'no such file'}")
    asyncio.run(Supervisor(settings, maps, counters).run(time.monotonic))
    return 0


def _run(options: argparse.Namespace) -> int:
    from sluice_dns import watch
    from sluice_dns.stream import StreamLimits
    from sluice_dns.supervisor import Settings, Supervisor
    from sluice_runtime.rpc import TlsFiles

    wanted = config.load(options.config, DnsConfig)
    tls = TlsFiles.in_folder(wanted.identity)
    for path in (tls.certificate_authority, tls.certificate, tls.key):
        if not path.is_file():
            raise UsageError(f"{path}: no such file; `identity` names the folder of our identity")
    trust = wanted.identity / "verification.pem"
    verifier = _verifier(trust)
    assert verifier is not None
    settings = Settings(
        listen=tuple(listen_address(text) for text in wanted.listen),
        workers=wanted.workers,
        admin=listen_address(wanted.admin_listen),
        admin_name="admin_listen",
        listen_name="listen",
        map=wanted.map,
        trust=trust,
        server_id=wanted.server_id,
        limits=StreamLimits(
            wanted.tcp_connections_max,
            wanted.tcp_connections_per_address_max,
            wanted.tcp_idle_timeout_s,
        ),
    )
    counters = _counters(settings.workers * len(settings.listen))
    maps = MapFile(wanted.map, verifier, row=counters.row(counters.rows - 1))
    held = maps.newer(time.monotonic())
    supervisor = Supervisor(settings, maps, counters)
    keeper = watch.MapKeeper(
        wanted.map, verifier, held_revision=held.revision if held else 0, row=supervisor.row
    )

    async def follow() -> None:
        rng = random.Random()
        await watch.watch(wanted.control_plane, tls, keeper, rng=rng, row=supervisor.row)

    asyncio.run(supervisor.run(time.monotonic, beside=follow))
    return 0


def _check_config(options: argparse.Namespace) -> int:
    try:
        config.load(options.file, DnsConfig)
    except config.ConfigError as error:
        print(error, file=sys.stderr)
        return USAGE
    print(f"{options.file}: ok")
    return 0


def _work(options: argparse.Namespace) -> int:
    from sluice_dns.udp import Worker

    counters = SharedCounters(SPECS, rows=options.rows, descriptor=options.counters)
    row = counters.row(options.row)
    maps = MapFile(options.map, _verifier(options.trust), row=row)
    with socket.socket(fileno=options.socket) as listener:
        worker = Worker(listener, maps, server_id=options.server_id, row=row, clock=time.monotonic)
        worker.run()
    return 0


def _counters(workers: int) -> SharedCounters:
    # One row for each worker, and the last for the supervisor.
    return SharedCounters(SPECS, rows=workers + 1)


def _verifier(trust: Path | None) -> Verifier | None:
    if trust is None:
        return None
    try:
        return read_verifier(trust)
    except OSError as error:
        raise UsageError(f"{trust}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{trust}: {error}") from None


def _address(option: str, text: str) -> Address:
    try:
        return listen_address(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
