"""The process of one serving worker: `python -m sluice_appliance.serving.main`, started by the pool.

Its listening socket, its row of counters and the pipe to say "ready" are inherited descriptors. It
imports no gRPC, no aiohttp, no structlog: it takes over within a fraction of a second from one that
died, and stays small.
"""

import argparse
import asyncio
import fcntl
import gc
import os
import resource
import socket
import sys
from contextlib import suppress
from dataclasses import replace
from functools import partial
from time import monotonic, time
from typing import TYPE_CHECKING

import uvloop

from sluice_appliance.metrics import SERVING
from sluice_appliance.serving.limits import retiring
from sluice_appliance.serving.popularity import Popularity
from sluice_appliance.serving.ready import READY, RETIRE
from sluice_appliance.serving.settings import ServingSettings, from_json
from sluice_appliance.serving.suspicions import tell
from sluice_appliance.serving.telling import open_teller
from sluice_appliance.serving.worker import Worker, within_descriptors
from sluice_runtime import lifecycle
from sluice_runtime.counters import SharedCounters

if TYPE_CHECKING:
    from sluice_appliance.serving.openssl import Context

# Enough for the connections and files of any worker: 8 bytes each.
_TABLE_DESCRIPTORS = 32_768


def _raise_descriptor_limit() -> int:
    """The most descriptors that the system allows, who may raise that limit does, and a table for as many:
    a table that grows while threads run holds everyone up for some 10 ms (the kernel waits for an RCU
    grace period)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = _TABLE_DESCRIPTORS
    elif hard < _TABLE_DESCRIPTORS:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, _TABLE_DESCRIPTORS))
            hard = _TABLE_DESCRIPTORS
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with suppress(OSError):
        os.close(fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, min(hard, _TABLE_DESCRIPTORS) - 1))
    return hard


async def _main(arguments: argparse.Namespace) -> None:
    settings = from_json(arguments.settings)
    limits = within_descriptors(
        settings.limits, _raise_descriptor_limit(), pulled_blocks=settings.pulled_blocks
    )
    settings = replace(settings, limits=limits)
    listener = socket.socket(fileno=arguments.listener)
    listener.setblocking(False)
    counters = SharedCounters(SERVING, rows=arguments.rows, descriptor=arguments.counters)
    row = counters.row(arguments.row)
    with open_teller(settings.telling, row, worker=arguments.row, wall_clock=time) as teller:
        worker = Worker(
            listener,
            settings,
            row,
            asyncio.get_running_loop(),
            popularity=Popularity.inherited(arguments.popularity).claim(),
            teller=teller,
            context=_context(settings, arguments.ticket_keys),
            door=socket.socket(fileno=arguments.door) if arguments.door >= 0 else None,
            clock=monotonic,
            wall_clock=time,
            tell=partial(tell, socket.socket(fileno=arguments.suspicions)),
        )
        await _run(worker, arguments.ready)


def _context(settings: ServingSettings, ticket_keys: int) -> "Context | None":
    if not settings.tls_certificate:
        return None
    # Here, as OpenSSL takes 0.08 s to load: a worker in the clear takes over that much sooner.
    from sluice_appliance.serving.ticket_keys import TicketKeys
    from sluice_appliance.serving.tls import context_of

    return context_of(settings, TicketKeys(ticket_keys))


async def _run(worker: Worker, ready: int) -> None:
    # What is here now stays: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    with lifecycle.stop_signals() as stop:
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(_serve(worker, stop))
            # Two turns of the loop: the listener is being listened to.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            os.write(ready, READY.pack(os.getpid()))
            await serving


async def _serve(worker: Worker, stop: asyncio.Event) -> None:
    """Until told to stop, or that another has taken over; the first may come while the second lasts."""
    leave = asyncio.Event()
    limits = worker.limits

    def retire() -> None:
        worker.limits = retiring(limits)
        leave.set()

    asyncio.get_running_loop().add_signal_handler(RETIRE, retire)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(worker.run(leave))
        stopping = tasks.create_task(stop.wait())
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        if leave.is_set():
            worker.limits = limits
            await asyncio.wait((serving,), timeout=limits.drain_s)
            serving.cancel()
        leave.set()
        await asyncio.wait((serving,))
        stopping.cancel()


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m sluice_appliance.serving.main",
        description="One serving worker; the pool starts it with descriptors that it inherits.",
    )
    descriptors = ("listener", "counters", "popularity", "ticket-keys", "ready", "suspicions")
    for name in (*descriptors, "row", "rows"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--settings", required=True)
    parser.add_argument("--door", type=int, default=-1)
    return parser.parse_args(argv)


def main() -> None:
    lifecycle.die_with_keeper()
    uvloop.run(_main(_arguments(sys.argv[1:])))


if __name__ == "__main__":
    main()
