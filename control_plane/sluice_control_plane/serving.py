"""Puts the control plane together: state folder, database, actors, and the two gRPC servers.

Addresses are bound first, so that a port in use is said before anything is started.
"""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc.aio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from sluice.content.v1 import content_pb2, content_pb2_grpc
from sluice.demand.v1 import demand_pb2, demand_pb2_grpc
from sluice.fill.v1 import fill_pb2, fill_pb2_grpc
from sluice.fleet.v1 import fleet_pb2, fleet_pb2_grpc
from sluice.routes.v1 import routes_pb2, routes_pb2_grpc
from sluice.steering.v1 import steering_pb2, steering_pb2_grpc
from sluice.tokens.v1 import tokens_pb2, tokens_pb2_grpc
from sluice_control_plane.config import ControlPlaneSettings
from sluice_control_plane.content.servicer import ContentServicer
from sluice_control_plane.database import Database, open_database
from sluice_control_plane.demand.keeper import DemandKeeper
from sluice_control_plane.demand.ledger import DemandLedger
from sluice_control_plane.demand.servicer import DemandServicer
from sluice_control_plane.errors import ERRORS
from sluice_control_plane.fill.returns import FillReturns
from sluice_control_plane.fill.servicer import FillServicer
from sluice_control_plane.fleet.health import HealthPolicy
from sluice_control_plane.fleet.heartbeats import ApplianceServicer
from sluice_control_plane.fleet.monitor import FleetMonitor
from sluice_control_plane.fleet.servicer import FleetServicer
from sluice_control_plane.fleet.storage import restore_beliefs
from sluice_control_plane.identity.gate import Gate
from sluice_control_plane.identity.roles import ENROL
from sluice_control_plane.identity.servicer import EnrolmentServicer
from sluice_control_plane.identity.state_folder import prepare
from sluice_control_plane.identity.tokens import SECRET_BYTES
from sluice_control_plane.metrics import Metrics
from sluice_control_plane.placing import Placing
from sluice_control_plane.publishing import Publisher, Signer
from sluice_control_plane.reconciler import Clocks, Reconciler
from sluice_control_plane.routes.servicer import RoutesServicer
from sluice_control_plane.steering.compiler import NameServer
from sluice_control_plane.steering.servicer import SteeringServicer
from sluice_control_plane.steering.snapshot import Zone, packed
from sluice_control_plane.token_keys import fill_tokens
from sluice_control_plane.token_keys.ring import TokenKeyRing
from sluice_control_plane.token_keys.servicer import TokenKeyServicer
from sluice_control_plane.truth import Part
from sluice_runtime import rpc
from sluice_runtime.addresses import address_setting
from sluice_runtime.metrics import serve_admin

# Calls at once, watches included; more are refused with RESOURCE_EXHAUSTED by gRPC itself.
CALLS_MAX = 50_000
ENROLMENTS_MAX = 64
# What calls under way get when the server stops.
STOP_GRACE_S = 1.0

SERVICES = tuple(
    file.services_by_name[name].full_name
    for file, names in (
        (fleet_pb2.DESCRIPTOR, ("FleetService", "ApplianceService")),
        (routes_pb2.DESCRIPTOR, ("RoutesService",)),
        (content_pb2.DESCRIPTOR, ("ContentService",)),
        (fill_pb2.DESCRIPTOR, ("FillService",)),
        (demand_pb2.DESCRIPTOR, ("DemandService",)),
        (steering_pb2.DESCRIPTOR, ("SteeringService",)),
        (tokens_pb2.DESCRIPTOR, ("TokenKeyService",)),
    )
    for name in names
)


class AddressUnusable(Exception):
    """A listener cannot be bound. The message names the address and the setting."""


@dataclass(frozen=True, slots=True)
class Running:
    """A control plane that serves. `finished` ends only by an error."""

    listen: str
    enrolment_listen: str
    metrics: Metrics
    monitor: FleetMonitor
    publisher: Publisher
    reconciler: Reconciler
    demand: DemandKeeper
    finished: asyncio.Task[None]


@asynccontextmanager
async def serve(settings: ControlPlaneSettings, clocks: Clocks) -> AsyncIterator[Running]:
    """Serves while the block runs. Raises AddressUnusable, StateUnusable, DatabaseUnavailable."""
    for name in ("listen", "enrolment_listen", "admin_listen"):
        _check_free(name, getattr(settings, name))
    metrics = Metrics()
    folder = prepare(settings.state, now=clocks.wall())
    async with AsyncExitStack() as stack:
        machines = _server(metrics, calls_max=CALLS_MAX)
        listen = _bind(
            machines,
            "listen",
            settings.listen,
            rpc.server_credentials(folder.server, want_client_certificate=True),
        )
        newcomers = _server(metrics, calls_max=ENROLMENTS_MAX, anonymous=frozenset({ENROL}))
        enrolment_listen = _bind(
            newcomers,
            "enrolment_listen",
            settings.enrolment_listen,
            rpc.server_credentials(folder.server, want_client_certificate=False),
        )
        stack.push_async_callback(_stop, machines)
        stack.push_async_callback(_stop, newcomers)
        database = await stack.enter_async_context(open_database(settings.the_database_url()))
        publisher = Publisher(database, Signer(folder.signing_key), metrics)
        ledger = DemandLedger()
        monitor, reconciler = await _actors(settings, clocks, database, publisher, ledger, metrics)
        demand = DemandKeeper(
            database, ledger, metrics, on_change=lambda: reconciler.touch(Part.DEMAND)
        )
        await demand.restore()
        ring = _token_keys(settings, clocks, database, folder.signing_key, metrics)
        await ring.restore()
        _add_services(
            machines, settings, clocks, database, monitor, publisher, reconciler, ring, metrics
        )
        demand_pb2_grpc.add_DemandServiceServicer_to_server(
            DemandServicer(ledger, reconciler, metrics, clock=clocks.wall), machines
        )
        fleet_pb2_grpc.add_EnrolmentServiceServicer_to_server(
            EnrolmentServicer(
                database,
                folder,
                clock=clocks.wall,
                on_enrolled=lambda: _enrolled(metrics, reconciler),
            ),
            newcomers,
        )
        await reconciler.round()
        host, port = address_setting("admin_listen", settings.admin_listen)
        facts = _Facts(metrics, monitor, publisher)
        await stack.enter_async_context(serve_admin(host, port, metrics.registry, facts))
        finished = await stack.enter_async_context(_running(monitor, reconciler, ring, demand))
        await machines.start()
        await newcomers.start()
        # Streams end before the servers stop, and those before the actors.
        stack.push_async_callback(_stop, newcomers)
        stack.push_async_callback(_stop, machines)
        stack.callback(publisher.close)
        stack.callback(ring.close)
        yield Running(
            listen, enrolment_listen, metrics, monitor, publisher, reconciler, demand, finished
        )


async def _actors(
    settings: ControlPlaneSettings,
    clocks: Clocks,
    database: Database,
    publisher: Publisher,
    ledger: DemandLedger,
    metrics: Metrics,
) -> tuple[FleetMonitor, Reconciler]:
    """Restored from what an earlier run left."""
    policy = HealthPolicy(
        settings.heartbeat_interval_s, settings.heartbeat_deadline_s, settings.up_after_heartbeats
    )

    def on_change(appliance_ids: frozenset[str]) -> None:
        reconciler.touch(Part.HEALTH, appliance_ids)
        metrics.show_health(monitor.by_health())

    monitor = FleetMonitor(
        policy, clock=clocks.steady, on_change=on_change, on_move=metrics.health_moved
    )
    placing = Placing(
        database,
        ledger,
        metrics,
        copies_min=settings.copies_per_site,
        copies_max=settings.copies_per_site_max,
        new_release_s=settings.new_release_days * 86_400,
        clock=clocks.wall,
    )
    reconciler = Reconciler(
        database,
        monitor,
        publisher,
        zone=_zone(settings),
        placing=placing,
        clocks=clocks,
        metrics=metrics,
    )
    await publisher.restore()
    await placing.restore()
    async with database.read() as connection:
        await restore_beliefs(connection, monitor)
    metrics.show_health(monitor.by_health())
    metrics.failed_disks.set(monitor.failed_disks())
    return monitor, reconciler


def _token_keys(
    settings: ControlPlaneSettings,
    clocks: Clocks,
    database: Database,
    signing_key: Ed25519PrivateKey,
    metrics: Metrics,
) -> TokenKeyRing:
    return TokenKeyRing(
        database,
        signing_key,
        policy=tokens_pb2.TokenPolicy.Value(f"TOKEN_POLICY_{settings.tokens.upper()}"),
        issuer=settings.zone,
        clock=clocks.wall,
        metrics=metrics,
    )


def _fill_signer(ring: TokenKeyRing, clocks: Clocks) -> fill_tokens.Signer | None:
    """None where no appliance asks for a token."""
    if ring.policy == tokens_pb2.TOKEN_POLICY_OFF:
        return None
    key_id, key = ring.signer(clocks.wall())
    return fill_tokens.Signer(ring.issuer, key_id, key)


def _add_services(
    server: grpc.aio.Server,
    settings: ControlPlaneSettings,
    clocks: Clocks,
    database: Database,
    monitor: FleetMonitor,
    publisher: Publisher,
    reconciler: Reconciler,
    ring: TokenKeyRing,
    metrics: Metrics,
) -> None:
    returns = FillReturns()
    fleet_pb2_grpc.add_FleetServiceServicer_to_server(
        FleetServicer(
            database,
            monitor,
            returns,
            clock=clocks.wall,
            new_secret=lambda: secrets.token_urlsafe(SECRET_BYTES),
            on_change=lambda: reconciler.touch(Part.FLEET),
        ),
        server,
    )
    fleet_pb2_grpc.add_ApplianceServiceServicer_to_server(
        ApplianceServicer(monitor, metrics, clock=clocks.wall), server
    )
    routes_pb2_grpc.add_RoutesServiceServicer_to_server(
        RoutesServicer(database, on_change=lambda: reconciler.touch(Part.ROUTES)), server
    )
    content_pb2_grpc.add_ContentServiceServicer_to_server(
        ContentServicer(
            database,
            publisher.titles,
            clock=clocks.wall,
            on_change=lambda: reconciler.touch(Part.TITLES),
        ),
        server,
    )
    fill_pb2_grpc.add_FillServiceServicer_to_server(
        FillServicer(
            database,
            monitor,
            publisher,
            reconciler,
            metrics,
            returns,
            origin_url=settings.origin_url,
            fill_signer=lambda: _fill_signer(ring, clocks),
            clock=clocks.wall,
        ),
        server,
    )
    steering_pb2_grpc.add_SteeringServiceServicer_to_server(
        SteeringServicer(publisher, reconciler), server
    )
    tokens_pb2_grpc.add_TokenKeyServiceServicer_to_server(TokenKeyServicer(ring), server)
    _add_health_and_reflection(server)


def _add_health_and_reflection(server: grpc.aio.Server) -> None:
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)


def _server(
    metrics: Metrics, *, calls_max: int, anonymous: frozenset[str] = frozenset()
) -> grpc.aio.Server:
    return grpc.aio.server(
        interceptors=[rpc.ErrorsToStatus(ERRORS), Gate(metrics, anonymous=anonymous)],
        options=rpc.server_options(),
        maximum_concurrent_rpcs=calls_max,
    )


def _bind(
    server: grpc.aio.Server, name: str, address: str, credentials: grpc.ServerCredentials
) -> str:
    """Returns the address with the port that it got."""
    host, _ = address_setting(name, address)
    try:
        port = server.add_secure_port(address, credentials)
    except RuntimeError:
        port = 0
    if not port:
        raise AddressUnusable(f"{address} cannot be listened on; the setting `{name}` changes it")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _check_free(name: str, address: str) -> None:
    """Says in one line what gRPC would say in many."""
    host, port = address_setting(name, address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise AddressUnusable(
                f"{address}: {(error.strerror or str(error)).lower()}; the setting `{name}` changes it"
            ) from None


@asynccontextmanager
async def _running(
    monitor: FleetMonitor, reconciler: Reconciler, ring: TokenKeyRing, demand: DemandKeeper
) -> AsyncIterator[asyncio.Task[None]]:
    """The actors, until the block ends."""

    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(monitor.run())
            group.create_task(reconciler.run())
            group.create_task(ring.run())
            group.create_task(demand.run())

    async with asyncio.TaskGroup() as group:
        task = group.create_task(all_of_them())
        try:
            yield task
        finally:
            task.cancel()


async def _stop(server: grpc.aio.Server) -> None:
    await server.stop(STOP_GRACE_S)


def _enrolled(metrics: Metrics, reconciler: Reconciler) -> None:
    metrics.enrolments.inc()
    reconciler.touch(Part.FLEET)


def _zone(settings: ControlPlaneSettings) -> Zone:
    return Zone(
        name=settings.zone,
        steered_ttl_s=settings.steered_ttl_s,
        negative_ttl_s=settings.negative_ttl_s,
        static_ttl_s=settings.static_ttl_s,
        name_servers=tuple(
            NameServer(each.host, packed(each.ipv4), packed(each.ipv6))
            for each in settings.the_name_servers()
        ),
    )


class _Facts:
    """What `/healthz` says."""

    def __init__(self, metrics: Metrics, monitor: FleetMonitor, publisher: Publisher) -> None:
        self._metrics = metrics
        self._monitor = monitor
        self._publisher = publisher

    def __call__(self) -> tuple[bool, Mapping[str, object]]:
        appliances = {health.value: count for health, count in self._monitor.by_health().items()}
        facts = {"map_revision": self._publisher.map.revision, "appliances": appliances}
        return self._publisher.map.value is not None, facts
