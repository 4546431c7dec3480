"""The process that owns a box: it serves first, then joins the control plane and fills.

Nothing that serves waits for the control plane, and nothing here ends because it is gone. The store's
lock is taken before anything is started; everything runs in one task group and ends together.
"""

import asyncio
import random
import socket
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from prometheus_client import CollectorRegistry

from sluice_appliance.admin import BODY_BYTES, admin_page, vitals
from sluice_appliance.agent.agent import Agent
from sluice_appliance.agent.enrolment import check_identity, is_enrolled
from sluice_appliance.agent.tally import AgentTally
from sluice_appliance.agent.title_demand import TitleDemand
from sluice_appliance.config import AUDIT_BYTES_PER_S, ApplianceConfig
from sluice_appliance.errors import CannotStart
from sluice_appliance.fill.bookkeeper import Bookkeeper
from sluice_appliance.fill.http_source import HttpSources
from sluice_appliance.fill.progress import NOTHING_WANTED
from sluice_appliance.fill.reputation import Reputation
from sluice_appliance.fill.shaping import RateLimit
from sluice_appliance.fill.surroundings import ServingLoad, received_bytes
from sluice_appliance.fill.tally import FillTally
from sluice_appliance.gauges import (
    FILL_POSTPONED,
    FILL_ROI,
    HELD_BYTES,
    PULL_BLOCKS,
    PULL_FORGOTTEN,
    PULL_REFUSED,
    STORED_BYTES,
    WANTED_BYTES,
    DiskGauges,
    Gauges,
)
from sluice_appliance.metrics import serving_counters, supervisor_counters
from sluice_appliance.part_settings import agent_settings, pull_settings, serving_settings, standing
from sluice_appliance.pull.catalog import Catalog
from sluice_appliance.pull.links import open_door
from sluice_appliance.pull.service import PullService
from sluice_appliance.pull.tally import PullTally
from sluice_appliance.serving.errors import AddressRefused, TlsFilesRefused
from sluice_appliance.serving.orders import look_on, obey
from sluice_appliance.serving.pool import ServingPool
from sluice_appliance.serving.popularity import Popularity
from sluice_appliance.serving.popularity_page import PopularityPage
from sluice_appliance.serving.record_writer import check_records
from sluice_appliance.store.errors import StoreError, StoreInUse
from sluice_appliance.store.scrubbing import Scrubber
from sluice_appliance.store.store import Store
from sluice_appliance.store.suspects import Suspects
from sluice_appliance.store.tally import AuditTally
from sluice_appliance.store.threaded import ThreadedStore
from sluice_appliance.store.watching import watch_disks
from sluice_runtime.addresses import parse_address
from sluice_runtime.background import background_threads, leave_cores
from sluice_runtime.counters import SharedCounters, index_of
from sluice_runtime.lifecycle import stop_signals
from sluice_runtime.logs import get_logger
from sluice_runtime.metrics import SharedCountersCollector

log = get_logger(__name__)


# In the store's folder, as it says what the store should hold.
_ACCOUNTS_FILE = "fill-accounts.json"


def own_box(
    config: ApplianceConfig, rng: random.Random, *, wall_clock: Callable[[], float]
) -> None:
    """Runs until SIGTERM or SIGINT. Raises CannotStart."""
    if not config.enrolment_token and not is_enrolled(config.identity):
        raise CannotStart(
            f"'enrolment_token' is missing and {config.identity} holds no certificate;"
            " FleetService.CreateEnrolmentToken makes one"
        )
    if is_enrolled(config.identity):
        try:
            check_identity(config.identity)
        except (OSError, ValueError) as error:
            raise CannotStart(f"{error} (setting 'identity')") from None
    try:
        store = Store.open(config.store, config.disk_specs)
    except StoreInUse as error:
        raise CannotStart(f"{error} (setting 'store')") from None
    except (StoreError, OSError) as error:
        setting = "disks" if config.disks else "store"
        raise CannotStart(f"{error} (setting '{setting}')") from None
    with store:
        asyncio.run(_own(config, store, rng, wall_clock))


async def _own(
    config: ApplianceConfig, store: Store, rng: random.Random, wall_clock: Callable[[], float]
) -> None:
    counters = serving_counters(config.workers)
    if config.access_records is not None:
        try:
            check_records(config.access_records)
        except OSError as error:
            raise CannotStart(f"{error} (setting 'access_records')") from None
    popularity = Popularity(2 * config.workers)
    with ExitStack() as held:
        ours, theirs = (held.enter_context(end) for end in open_door())
        door = theirs.fileno() if config.pull_through else -1
        settings = serving_settings(config, store.places(), pulls=door >= 0)
        listen = parse_address(config.listen)
        pool = ServingPool(settings, listen, config.workers, counters, popularity, door=door)
        # Workers have all cores; whatever is done here can wait for what they need.
        leave_cores(config.workers)
        asyncio.get_running_loop().set_default_executor(background_threads("background"))
        await _bind_and_run(config, store, pool, counters, popularity, ours, rng, wall_clock)


async def _bind_and_run(
    config: ApplianceConfig,
    store: Store,
    pool: ServingPool,
    counters: SharedCounters,
    popularity: Popularity,
    door: socket.socket,
    rng: random.Random,
    wall_clock: Callable[[], float],
) -> None:
    try:
        pool.bind()
    except AddressRefused as error:
        raise CannotStart(f"{error} (setting 'listen')") from None
    except TlsFilesRefused as error:
        raise CannotStart(f"{error} (settings 'tls_certificate', 'tls_key')") from None
    try:
        demand = TitleDemand()
        page = PopularityPage(
            popularity, counters.row(counters.rows - 1), asyncio.get_running_loop().time, demand.add
        )
        await _run(config, store, pool, counters, page, demand, door, rng, wall_clock)
    finally:
        pool.close()
    log.info("appliance_stopped", appliance=config.appliance)


async def _run(
    config: ApplianceConfig,
    store: Store,
    pool: ServingPool,
    counters: SharedCounters,
    popularity: PopularityPage,
    demand: TitleDemand,
    door: socket.socket,
    rng: random.Random,
    wall_clock: Callable[[], float],
) -> None:
    own_counters = supervisor_counters()
    registry = CollectorRegistry()
    registry.register(SharedCountersCollector(counters))
    registry.register(SharedCountersCollector(own_counters))
    fill_tally = FillTally(own_counters)
    books = Bookkeeper(
        config.store / _ACCOUNTS_FILE,
        fill_tally,
        wall_clock=wall_clock,
        received=received_bytes,
        sent=lambda: counters.total(index_of(counters.specs, BODY_BYTES)),
    )
    async with HttpSources.open_session(
        config.appliance, opened=fill_tally.connection_opened
    ) as session:
        reputation, catalog = Reputation(), Catalog()
        agent = Agent(
            agent_settings(config),
            standing(config, pool.address.port),
            store=ThreadedStore(store),
            reader=HttpSources(session),
            fill_tally=fill_tally,
            tally=AgentTally(own_counters),
            demand=demand,
            vitals=lambda stored_bytes: vitals(pool, counters, stored_bytes),
            books=books,
            load=ServingLoad(pool, counters).look,
            rng=rng,
            reputation=reputation,
            catalog=catalog,
        )
        pulls = PullService(
            pull_settings(config, store),
            door,
            catalog,
            reader=HttpSources(session),
            fill_tally=fill_tally,
            tally=PullTally(own_counters),
            reputation=reputation,
            disks=lambda: [place.root for place in store.places()],
            took=books.pulled,
            load=ServingLoad(pool, counters).look,
            now=asyncio.get_running_loop().time(),
            take_flash=agent.take_flash,
        )
        registry.register(
            Gauges(
                {
                    STORED_BYTES: agent.stored_bytes,
                    WANTED_BYTES: lambda: (agent.progress() or NOTHING_WANTED).wanted_bytes,
                    HELD_BYTES: lambda: (agent.progress() or NOTHING_WANTED).held_bytes,
                    FILL_ROI: agent.fill_roi,
                    FILL_POSTPONED: agent.postponed_titles,
                    PULL_BLOCKS: lambda: pulls.puller.blocks_in_memory,
                    PULL_REFUSED: lambda: pulls.cache.budget.refused_bytes,
                    PULL_FORGOTTEN: lambda: pulls.cache.worth.forgotten,
                }
            )
        )
        registry.register(DiskGauges(store.disks))
        store.go_by(asyncio.get_running_loop().time)
        with stop_signals() as stop, background_threads("audit", _audit_threads(config)) as threads:
            audited = ThreadedStore(store, threads)
            scrubber = _scrubber(config, audited, agent, own_counters)
            suspects = _suspects(config, audited, agent, own_counters)
            pool.suspect = suspects.add
            async with admin_page(config, registry, pool, agent, popularity):
                log.info("appliance_started", appliance=config.appliance, listen=config.listen)
                store.tell()
                await _until_stopped(
                    pool,
                    agent,
                    pulls,
                    popularity,
                    ThreadedStore(store),
                    scrubber,
                    suspects,
                    stop,
                )


async def _until_stopped(
    pool: ServingPool,
    agent: Agent,
    pulls: PullService,
    popularity: PopularityPage,
    store: ThreadedStore,
    scrubber: Scrubber | None,
    suspects: Suspects,
    stop: asyncio.Event,
) -> None:
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch_disks(store, partial(look_on, pool)))
        rechecking = group.create_task(suspects.run())
        scrubbing = group.create_task(scrubber.run()) if scrubber else None
        pulling = group.create_task(pulls.run())
        serving = group.create_task(pool.run())
        joining = group.create_task(agent.run())
        obeying = group.create_task(obey(pool))
        draining = group.create_task(popularity.run())
        await stop.wait()
        if scrubbing is not None:
            scrubbing.cancel()
        rechecking.cancel()
        watching.cancel()
        draining.cancel()
        joining.cancel()
        obeying.cancel()
        serving.cancel()
        # Responses that were begun have their time to end, pulled ones too.
        await asyncio.wait([serving])
        pulling.cancel()


def _audit_threads(config: ApplianceConfig) -> int:
    """One for each disk, and one for what serving could not read: none of them waits for another."""
    return len(config.disk_specs) + 1


def _scrubber(
    config: ApplianceConfig, store: ThreadedStore, agent: Agent, counters: SharedCounters
) -> Scrubber | None:
    """None where the audit is set to 0."""
    if not config.audit_bytes_per_s:
        return None
    return Scrubber(
        store,
        AuditTally(counters),
        pace=lambda now: RateLimit(8 * config.audit_bytes_per_s, now),
        lost=agent.objects_lost,
        flash=agent,
    )


def _suspects(
    config: ApplianceConfig, store: ThreadedStore, agent: Agent, counters: SharedCounters
) -> Suspects:
    """At the pace of the audit; where there is none, at that of its default."""
    bytes_per_s = config.audit_bytes_per_s or AUDIT_BYTES_PER_S
    return Suspects(
        store,
        AuditTally(counters),
        pace=lambda now: RateLimit(8 * bytes_per_s, now),
        lost=agent.objects_lost,
    )
