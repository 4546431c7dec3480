"""A body that is being pulled: sent block by block as it comes, from files in memory that never change.

It has the shape of an open object, so a response goes out of it as of any other: `reach` says how far it
may be sent and turns descriptor and offset to the block of which that is, `want` waits for the next. A
response holds the block that it is in; it asks for what follows while half a piece is ahead of it, and a
response that ends asks for nothing any more.
"""

import os
from typing import TYPE_CHECKING

from sluice_appliance.pull.messages import Why
from sluice_appliance.serving.disk_jobs import Wake
from sluice_appliance.serving.objects import OpenObject
from sluice_appliance.serving.request import ObjectFacts
from sluice_appliance.store.layout import BLOCK_BYTES

if TYPE_CHECKING:
    from sluice_appliance.serving.pulls import Pulls

# Blocks asked for at once, which is what one request to a source is for (`pull/wants.py`), and how few
# ahead of what is sent make it ask for more.
AHEAD_BLOCKS = 8
AHEAD_LEAST = 4


class PullFailed(Exception):
    """It cannot be had; a body that has begun ends here."""

    def __init__(self, why: Why) -> None:
        super().__init__(why.value)
        self.why = why


class BlockFile:
    """One block, closed when it was told to be let go and nobody sends from it."""

    __slots__ = ("fd", "users")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.users = 1

    def release(self) -> None:
        self.users -= 1
        if not self.users:
            os.close(self.fd)


class PulledObject:
    """What a worker knows of an object that its box does not hold, and the blocks that it was handed."""

    __slots__ = ("blocks", "bodies", "facts", "facts_until", "gone", "key", "looking", "waiting")

    def __init__(self, key: str) -> None:
        self.key = key
        self.facts: ObjectFacts | None = None
        self.facts_until = 0.0
        self.blocks: dict[int, BlockFile] = {}
        # Those that were here and were let go again.
        self.gone: set[int] = set()
        # Responses that send it.
        self.bodies = 0
        # Those who want to know what it is, and those who wait for a block.
        self.looking: dict[PullWait, None] = {}
        self.waiting: dict[int, dict[PullWait, None]] = {}

    @property
    def is_idle(self) -> bool:
        return not (self.blocks or self.bodies or self.looking)

    def wait_for(self, block: int, wait: "PullWait") -> None:
        self.waiting.setdefault(block, {})[wait] = None

    def waits_of(self, body: "PulledBody") -> "list[PullWait]":
        return [wait for waits in self.waiting.values() for wait in waits if wait.body is body]

    def forget(self, wait: "PullWait") -> None:
        self.looking.pop(wait, None)
        waits = self.waiting.get(wait.block)
        if waits is not None:
            waits.pop(wait, None)
            if not waits:
                del self.waiting[wait.block]


class PullWait:
    """One who waits; wakes once, unless cancelled."""

    __slots__ = ("begun", "block", "body", "ended", "known", "wake")

    def __init__(
        self,
        known: PulledObject,
        wake: Wake,
        *,
        body: "PulledBody | None" = None,
        block: int = -1,
        begun: bool = False,
    ) -> None:
        self.known = known
        self.wake = wake
        # None where it waits to know what the object is.
        self.body = body
        self.block = block
        # Whether its response has begun; if not, this holds the body for the answer to come.
        self.begun = begun
        # Woken, or cancelled.
        self.ended = False

    def cancel(self) -> None:
        if self.ended:
            return
        self.ended = True
        self.known.forget(self)
        if self.body is not None and not self.begun:
            self.body.release()


class PulledBody(OpenObject):
    """One response's, of which there is no other copy. `fd` and `begins_at` are those of the block that `reach` was asked for last."""

    __slots__ = (
        "_asked_end",
        "_asked_first",
        "_file",
        "_number",
        "_pulls",
        "known",
        "waited",
    )

    def __init__(
        self, pulls: "Pulls", known: PulledObject, facts: ObjectFacts, number: int, target: bytes
    ) -> None:
        super().__init__(known.key, -1, facts, ())
        self.target = target
        self._pulls = pulls
        self.known = known
        self._number = number
        self._file: BlockFile | None = None
        known.bodies += 1
        # Whether its beginning had to come first.
        self.waited = False
        # Which blocks were asked for last.
        self._asked_first = self._asked_end = 0

    def reach(self, offset: int, end: int) -> int:
        """Up to where it may be sent from `offset`, within its block; `offset` where that has to come."""
        block = offset // BLOCK_BYTES
        if not self._turn_to(block):
            return offset
        if self._asked_end - block <= AHEAD_LEAST:
            self._ask(block + 1, end)
        return min(end, (block + 1) * BLOCK_BYTES)

    def want(self, offset: int, end: int, wake: Wake, *, begun: bool) -> PullWait:
        """Wakes when it can be sent on from `offset`, or with a PullFailed."""
        self.waited = True
        block = offset // BLOCK_BYTES
        wait = PullWait(self.known, wake, body=self, block=block, begun=begun)
        self.known.wait_for(block, wait)
        if not self._asked_first <= block < self._asked_end or block in self.known.gone:
            # Another part of several; or it came and went again before it was sent.
            self._asked_first = self._asked_end = block
            self._ask(block, end)
        return wait

    def failed(self) -> None:
        """Nothing comes of what it asked for."""
        self._asked_first = self._asked_end = 0

    def _close(self) -> None:
        self._let_go()
        self.known.bodies -= 1
        self._pulls.ended(self._number)

    def _turn_to(self, block: int) -> bool:
        if self._file is not None and self.begins_at == -block * BLOCK_BYTES:
            return True
        file = self.known.blocks.get(block)
        if file is None:
            return False
        if block >= self._asked_end:
            self._pulls.found(self.known.key, block)
        self._let_go()
        file.users += 1
        self._file, self.fd, self.begins_at = file, file.fd, -block * BLOCK_BYTES
        return True

    def _let_go(self) -> None:
        if self._file is not None:
            self._map = None
            self._file.release()
            self._file = None
            self.fd = -1

    def _ask(self, block: int, end: int) -> None:
        """For what is not here of the next blocks that it will send."""
        last = -(-end // BLOCK_BYTES)
        soon = min(last, block + AHEAD_BLOCKS)
        first = max(block, self._asked_end)
        while first < soon and first in self.known.blocks:
            first += 1
        if first < soon:
            self._asked_end = min(last, first + AHEAD_BLOCKS)
            self._pulls.want(self._number, self.known.key, first, self._asked_end)
