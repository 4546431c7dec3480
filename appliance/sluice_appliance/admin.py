"""What a box says of itself: to people on its admin page, to the control plane in its heartbeats."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import psutil
from prometheus_client import CollectorRegistry

from sluice_appliance.agent.agent import Agent
from sluice_appliance.agent.reporter import Vitals
from sluice_appliance.config import ApplianceConfig
from sluice_appliance.errors import CannotStart
from sluice_appliance.serving.pool import ServingPool
from sluice_appliance.serving.popularity_page import PopularityPage
from sluice_runtime.addresses import parse_address
from sluice_runtime.counters import SharedCounters, index_of
from sluice_runtime.metrics import serve_admin

BODY_BYTES = "sluice_appliance_body_bytes_total"


@asynccontextmanager
async def admin_page(
    config: ApplianceConfig,
    registry: CollectorRegistry,
    pool: ServingPool,
    agent: Agent,
    popularity: PopularityPage,
) -> AsyncIterator[None]:
    address = parse_address(config.admin_listen)
    page = serve_admin(
        address.host,
        address.port,
        registry,
        lambda: _health(config, pool, agent),
        routes=popularity.routes(),
    )
    try:
        await page.__aenter__()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error
        raise CannotStart(f"{address}: {reason} (setting 'admin_listen')") from None
    try:
        yield
    finally:
        await page.__aexit__(None, None, None)


def vitals(pool: ServingPool, counters: SharedCounters, stored_bytes: int) -> Vitals:
    return Vitals(
        serving=pool.takes_clients(),
        stored_bytes=stored_bytes,
        cpu_fraction=psutil.cpu_percent() / 100,
        sent_bytes_total=counters.total(index_of(counters.specs, BODY_BYTES)),
    )


def _health(
    config: ApplianceConfig, pool: ServingPool, agent: Agent
) -> tuple[bool, Mapping[str, object]]:
    """Healthy is what players need: that it serves, and is to go on. The rest is for people."""
    progress = agent.progress()
    facts: dict[str, object] = {
        "appliance": config.appliance,
        "serving": pool.accepting(),
        "draining": pool.draining,
        "enrolled": agent.enrolled,
        "control_plane": agent.connected,
    }
    if progress is not None:
        facts |= {
            "manifest_revision": progress.manifest_revision,
            "held_objects": progress.held_objects,
            "wanted_objects": progress.wanted_objects,
            "held_bytes": progress.held_bytes,
            "wanted_bytes": progress.wanted_bytes,
        }
    return pool.takes_clients(), facts
