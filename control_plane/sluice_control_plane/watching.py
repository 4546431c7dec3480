"""The latest value of something published, and those who watch it.

A watcher has a queue of one: while it sends, newer values replace each other and it takes the last.
A slow watcher therefore costs no memory and skips what is old.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Generic, TypeVar

from sluice_control_plane.errors import TooMany

T = TypeVar("T")

# Each holds a stream and a few kilobytes; the largest fleets have some thousand boxes and servers.
WATCHERS_MAX = 20_000


class Published(Generic[T]):
    """One published value with its revision; 0 while there is none."""

    def __init__(
        self,
        *,
        watchers_max: int = WATCHERS_MAX,
        on_watchers: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.revision = 0
        self.value: T | None = None
        self._watchers: set[asyncio.Event] = set()
        self._watchers_max = watchers_max
        self._on_watchers = on_watchers
        self._closed = False

    def publish(self, revision: int, value: T) -> None:
        """Replaces the value by a newer one and wakes the watchers."""
        assert revision > self.revision, f"revision {revision} after {self.revision}"
        self.revision, self.value = revision, value
        self._wake()

    def close(self) -> None:
        """Ends every watch."""
        self._closed = True
        self._wake()

    async def watch(self, revision: int) -> AsyncGenerator[T, None]:
        """Yields the value whenever it is newer than `revision`, until closed. Raises TooMany."""
        if len(self._watchers) >= self._watchers_max:
            raise TooMany(f"{self._watchers_max} watchers already; try later")
        news = asyncio.Event()
        self._watchers.add(news)
        self._on_watchers(1)
        try:
            while not self._closed:
                news.clear()
                if self.value is not None and self.revision > revision:
                    revision = self.revision
                    yield self.value
                else:
                    await news.wait()
        finally:
            self._watchers.discard(news)
            self._on_watchers(-1)

    def _wake(self) -> None:
        for news in self._watchers:
            news.set()
