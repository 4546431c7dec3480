"""When the next bytes may be read: never faster than the cap, all sources together, and not while paused."""

import asyncio

from sluice_appliance.fill.shaping import RateLimit

# A source that is not read for so long is let go of and asked again from there: it has clients of its
# own, and would take the box for dead.
LET_GO_S = 5.0


class Pace:
    """Belongs to one event loop."""

    def __init__(self, bits_per_s: float | None = None) -> None:
        self._bits_per_s = bits_per_s
        self._limit: RateLimit | None = None
        self._unpaused = asyncio.Event()
        self._unpaused.set()
        self._unheld = asyncio.Event()
        self._unheld.set()

    @property
    def is_paused(self) -> bool:
        return not self._unpaused.is_set()

    def change_rate(self, bits_per_s: float | None) -> None:
        if bits_per_s != self._bits_per_s:
            self._bits_per_s = bits_per_s
            if self._limit is not None:
                self._limit.change(bits_per_s, asyncio.get_running_loop().time())

    def pause(self) -> None:
        """Nothing is read."""
        self._unpaused.clear()

    def go_on(self) -> None:
        self._unpaused.set()

    def hold(self, hold: bool) -> None:
        """Whether what could wait is not read."""
        if hold:
            self._unheld.clear()
        else:
            self._unheld.set()

    async def turn(self, *, waits: bool = True) -> float:
        """Returns when bytes may be read: how many seconds that took. `waits`: what is read could wait."""
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        while self.is_paused or (waits and not self._unheld.is_set()):
            await self._unpaused.wait()
            if waits:
                await self._unheld.wait()
        return loop.time() - began_at

    async def took(self, size_bytes: int) -> None:
        """Returns when so many bytes are paid for."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._limit is None:
            self._limit = RateLimit(self._bits_per_s, now)
        next_at = self._limit.next_send_at(size_bytes, now)
        if next_at > now:
            await asyncio.sleep(next_at - now)
