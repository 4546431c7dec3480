"""`sluice-encoder origin`: serves until told to stop."""

import errno
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from prometheus_client import CollectorRegistry

from sluice_encoder.metrics import OriginMetrics
from sluice_encoder.origin.server import serve
from sluice_runtime import lifecycle
from sluice_runtime.addresses import Address
from sluice_runtime.logs import get_logger
from sluice_runtime.metrics import serve_admin

log = get_logger(__name__)


async def run_origin(root: Path, listen: Address, admin: Address | None) -> int:
    """Exit code 0 when told to stop, 2 where an address is taken."""
    registry = CollectorRegistry()
    metrics = OriginMetrics(registry)
    async with AsyncExitStack() as stack:
        with lifecycle.stop_signals() as stop:
            try:
                bound = await stack.enter_async_context(serve(root, *listen, metrics))
            except OSError as error:
                return _refuse(_bind_error("--listen", listen, error))
            if admin is not None:
                try:
                    page = serve_admin(
                        *admin, registry, lambda: (root.is_dir(), {"root": str(root)})
                    )
                    await stack.enter_async_context(page)
                except OSError as error:
                    return _refuse(_bind_error("--admin", admin, error))
            log.info("origin_ready", address=f"{bound[0]}:{bound[1]}", root=str(root))
            await stop.wait()
    return 0


def _bind_error(option: str, address: Address, error: OSError) -> str:
    reason = "address in use" if error.errno == errno.EADDRINUSE else error.strerror
    return f"{address}: {reason}; choose another with {option}"


def _refuse(why: str) -> int:
    sys.stderr.write(f"sluice-encoder: {why}\n")
    return 2
