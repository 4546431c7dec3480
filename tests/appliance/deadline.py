"""Waiting for what must come true, with an end."""

import asyncio
import time
from collections.abc import Callable


async def until(what: str, condition: Callable[[], object], *, within_s: float = 20.0) -> None:
    """Returns as soon as `condition` is true; fails the test with `what` if it does not become so."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        await asyncio.sleep(0.01)
