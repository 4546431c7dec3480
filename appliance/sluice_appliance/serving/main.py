"""The process of one serving worker: `python -m sluice_appliance.serving.main`, started by the pool.

Its listening socket, its row of counters and the pipe to say "ready" are inherited descriptors. It
imports no gRPC, no aiohttp, no structlog: it takes over within a fraction of a second from one that
died, and stays small.
"""

import argparse
import asyncio
import gc
import json
import os
import resource
import socket
import sys
from pathlib import Path
from time import monotonic, time

import uvloop

from sluice_appliance.metrics import SERVING
from sluice_appliance.serving.limits import Limits, retiring
from sluice_appliance.serving.ready import READY, RETIRE
from sluice_appliance.serving.tls import TlsFiles, server_context
from sluice_appliance.serving.worker import Worker, within_descriptors
from sluice_runtime import lifecycle
from sluice_runtime.counters import SharedCounters


def _raise_descriptor_limit() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


async def _main(arguments: argparse.Namespace) -> None:
    limits = Limits(**json.loads(arguments.limits))
    context = None
    if arguments.tls_cert:
        context = server_context(TlsFiles(arguments.tls_cert, arguments.tls_key))
    listener = socket.socket(fileno=arguments.listener)
    listener.setblocking(False)
    worker = Worker(
        listener,
        arguments.store,
        SharedCounters(SERVING, rows=arguments.rows, descriptor=arguments.counters).row(
            arguments.row
        ),
        within_descriptors(limits, _raise_descriptor_limit()),
        context,
        asyncio.get_running_loop(),
        monotonic,
        time,
    )
    # What is here now stays: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    with lifecycle.stop_signals() as stop:
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(_serve(worker, stop))
            # Two turns of the loop: the listener is being listened to.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            os.write(arguments.ready, READY.pack(os.getpid()))
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
    for name in ("listener", "counters", "row", "rows", "ready"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--store", required=True)
    parser.add_argument("--limits", required=True)
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    return parser.parse_args(argv)


def main() -> None:
    lifecycle.die_with_keeper()
    uvloop.run(_main(_arguments(sys.argv[1:])))


if __name__ == "__main__":
    main()
