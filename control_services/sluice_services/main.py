"""`sluice-services`: the gateway's command line and the one place that knows clock, files and ports."""

import argparse
import asyncio
import ipaddress
import logging
import random
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import uvloop
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from sluice_runtime import config, lifecycle, logs, rpc
from sluice_runtime.addresses import address_setting
from sluice_runtime.signatures import Verifier
from sluice_services.catalog.titles import Catalog
from sluice_services.catalog.watch import catalog_reader, catalog_watch
from sluice_services.config import WEB_BESIDE_SOURCE, GatewayConfig
from sluice_services.following.follower import Follower
from sluice_services.gateway.app import make_app
from sluice_services.gateway.handlers import Handlers
from sluice_services.gateway.health import health
from sluice_services.gateway.page import PageFile, PageTooLarge, read_page
from sluice_services.metrics import GatewayMetrics
from sluice_services.playback.signing_watch import read_offered_keys, signing_keys_watch
from sluice_services.playback.steering_map import SteeringView
from sluice_services.playback.tokens import SigningKeys
from sluice_services.playback.watch import map_reader, map_watch, trusted_keys

PROGRAM = "sluice-services"
USAGE_EXIT = 2
# Connections that wait to be accepted; the kernel refuses more.
_BACKLOG = 1_024
# An idle connection costs memory; a player asks once in hours.
_KEEPALIVE_S = 75.0
# From being told to stop to closing connections on which an answer is still being sent.
_SHUTDOWN_S = 5.0

log = logs.get_logger(__name__)


class CannotStart(Exception):
    """What the operator has to mend, in one line."""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 told to stop, 2 the command line, the settings or the machine are not right."""
    lifecycle.die_with_keeper()
    arguments = _parser().parse_args(argv)
    logs.configure(PROGRAM)
    try:
        settings = config.load(arguments.config, GatewayConfig)
        if arguments.verb == "check-config":
            print(f"{arguments.config}: ok")
        else:
            uvloop.run(run(settings))
    except (config.ConfigError, CannotStart) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return USAGE_EXIT
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="The gateway: titles, playback and the web page, for apps and people.",
        epilog="example: sluice-services run --config /etc/sluice/services.toml",
    )
    verbs = parser.add_subparsers(dest="verb", title="verbs", required=True, metavar="VERB")
    run_parser = verbs.add_parser(
        "run",
        help="serve until SIGTERM or Ctrl-C",
        description="Serves the API and the page until SIGTERM or Ctrl-C.",
        epilog="example: sluice-services run --config /etc/sluice/services.toml",
    )
    run_parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="settings")
    check = verbs.add_parser(
        "check-config",
        help="read the settings and say what is wrong with them",
        description="Reads the settings as `run` does and says what is wrong with them.",
        epilog="example: sluice-services check-config /etc/sluice/services.toml",
    )
    check.add_argument("config", type=Path, metavar="FILE", help="settings")
    return parser


async def run(settings: GatewayConfig) -> None:
    """Serves until told to stop. Raises CannotStart before anything is started."""
    with _bound(settings.listen) as listener, lifecycle.stop_signals() as stop:
        verifier = _verifier(settings.identity)
        page = _page(settings.web or WEB_BESIDE_SOURCE)
        try:
            channel = rpc.open_channel(
                settings.control_plane, rpc.TlsFiles.in_folder(settings.identity)
            )
        except OSError as error:
            raise CannotStart(f"identity: {error.filename}: {error.strerror}") from None
        async with channel:
            metrics = GatewayMetrics()
            steering = Follower(
                "map",
                file=settings.state / "steering-map",
                open_watch=map_watch(channel),
                accept=map_reader(verifier),
                metrics=metrics,
                clock=time.time,
                rng=random.Random(),
            )
            catalog = Follower(
                "catalog",
                file=settings.state / "catalog",
                open_watch=catalog_watch(channel),
                accept=catalog_reader(metrics),
                metrics=metrics,
                clock=time.time,
                rng=random.Random(),
            )
            signing = Follower(
                "signing_keys",
                file=settings.state / "signing-keys",
                open_watch=signing_keys_watch(channel),
                accept=read_offered_keys,
                metrics=metrics,
                clock=time.time,
                rng=random.Random(),
                # Private keys.
                mode=0o600,
            )
            handlers = Handlers(
                catalog,
                steering,
                signing,
                tuple(ipaddress.ip_network(network) for network in settings.trusted_proxies),
                settings.url_lifetime_s,
                metrics,
                time.time,
            )
            app = make_app(
                handlers,
                page=page,
                health=lambda: health(steering, catalog, signing, now=time.time()),
                metrics=metrics,
                body_max_bytes=settings.body_max_bytes,
                request_timeout_s=settings.request_timeout_s,
                requests_in_flight_max=settings.requests_in_flight_max,
                clock=time.monotonic,
            )
            await _serve(app, listener, (steering, catalog, signing), metrics, stop)


async def _serve(
    app: web.Application,
    listener: socket.socket,
    followers: tuple[Follower[SteeringView], Follower[Catalog], Follower[SigningKeys]],
    metrics: GatewayMetrics,
    stop: asyncio.Event,
) -> None:
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=_http_log(metrics),
        keepalive_timeout=_KEEPALIVE_S,
        shutdown_timeout=_SHUTDOWN_S,
    )
    await runner.setup()
    try:
        for follower in followers:
            follower.load()
        await web.SockSite(runner, listener, backlog=_BACKLOG).start()
        log.info("listening", address=_spoken(listener))
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(follower.run(), name=follower.kind) for follower in followers
            ]
            await stop.wait()
            for task in tasks:
                task.cancel()
    finally:
        await runner.cleanup()
    log.info("stopped")


def _bound(listen: str) -> socket.socket:
    host, port = address_setting("listen", listen)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise CannotStart(
            f"listen: {listen}: {error.strerror}; the setting `listen` names another address"
        ) from None


def _spoken(listener: socket.socket) -> str:
    """Where it listens in truth: port 0 in the settings is whichever is free."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _verifier(identity: Path) -> Verifier:
    path = identity / "verification.pem"
    try:
        return trusted_keys(path.read_bytes())
    except OSError as error:
        raise CannotStart(f"identity: {path}: {error.strerror}") from None
    except ValueError as error:
        raise CannotStart(f"identity: {path}: {error}") from None


def _page(folder: Path) -> Mapping[str, PageFile]:
    try:
        page = read_page(folder)
    except (OSError, PageTooLarge) as error:
        raise CannotStart(f"web: {error}") from None
    if not page:
        log.warning("page_not_built", folder=str(folder))
    return page


def _http_log(metrics: GatewayMetrics) -> logging.Logger:
    """aiohttp's log without what strangers send: bytes that are no HTTP are counted."""

    def ours(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            metrics.malformed.inc()
            return False
        return True

    logger = logging.getLogger("sluice_services.http")
    logger.addFilter(ours)
    return logger


if __name__ == "__main__":
    sys.exit(main())
