"""What an operator tells a running pool by signal, as web servers have it.

SIGHUP replaces the workers, one after the other, by new ones that read the certificate anew; nobody's
request is lost. SIGUSR1 drains the box: it serves on, and its health and heartbeat say that new clients
should go elsewhere. SIGUSR2 undrains it. A restart undrains it too: a box that was started should serve.
"""

import asyncio
import signal
from typing import Protocol

from sluice_appliance.serving.errors import ServingRefused
from sluice_appliance.store.disks import DiskPlace
from sluice_runtime.logs import get_logger

log = get_logger(__name__)

REPLACE = signal.SIGHUP
DRAIN = signal.SIGUSR1
UNDRAIN = signal.SIGUSR2


class Obeys(Protocol):
    draining: bool

    async def replace(self) -> None: ...


async def obey(pool: Obeys) -> None:
    """Does what signals say, until cancelled. Orders to replace that come while it replaces are one."""
    loop = asyncio.get_running_loop()
    to_replace = asyncio.Event()
    loop.add_signal_handler(REPLACE, to_replace.set)
    loop.add_signal_handler(DRAIN, _drain, pool, True)
    loop.add_signal_handler(UNDRAIN, _drain, pool, False)
    try:
        while True:
            await to_replace.wait()
            to_replace.clear()
            await _replace(pool)
    finally:
        for number in (REPLACE, DRAIN, UNDRAIN):
            loop.remove_signal_handler(number)


async def _replace(pool: Obeys) -> None:
    log.info("serving_workers_replacing")
    try:
        await pool.replace()
    except ServingRefused as error:
        log.error("serving_workers_not_replaced", reason=str(error))
    else:
        log.info("serving_workers_replaced")


class LooksOnDisks(Protocol):
    async def look_on(self, disks: tuple[DiskPlace, ...]) -> None: ...


async def look_on(pool: LooksOnDisks, disks: tuple[DiskPlace, ...]) -> bool:
    """Has workers look for objects on these disks; whether they do."""
    try:
        await pool.look_on(disks)
    except ServingRefused as error:
        log.error("serving_disks_not_told", reason=str(error))
        return False
    log.info("serving_disks_told", disks=[disk.root for disk in disks])
    return True


def _drain(pool: Obeys, draining: bool) -> None:
    pool.draining = draining
    log.info("serving_drained" if draining else "serving_undrained")
