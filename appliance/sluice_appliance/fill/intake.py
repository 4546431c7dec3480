"""Bytes of a source as they come: at the pace, out of a purse, a silence seen, each counted.

What is wrong is told by SourceFailed; whoever reads decides what follows.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Protocol, cast

from sluice_appliance.fill.http_answer import Answer
from sluice_appliance.fill.pace import LET_GO_S, Pace
from sluice_appliance.fill.purse import Purse
from sluice_appliance.fill.reputation import Reputation
from sluice_appliance.fill.sources import Chunk, FaultKind, Source, SourceFailed
from sluice_appliance.fill.tally import FillTally
from sluice_appliance.store.layout import ObjectHeader
from sluice_runtime.logs import get_logger

log = get_logger(__name__)


# A limit that is noticed so late says that this box was held up, not that the source was silent.
_HELD_UP = 1.2


class _HeldUp(Exception):
    """Ask again; nobody is at fault."""


class ReadsSources(Protocol):
    """The way to the sources."""

    def read(
        self,
        source: Source,
        wanted: ObjectHeader,
        start: int,
        end: int | None = None,
        *,
        etag: str | None = None,
        on_answer: Callable[[Answer], None] | None = None,
    ) -> AsyncIterator[Chunk]: ...


class Intake:
    """All that comes from sources comes through here."""

    def __init__(
        self,
        reader: ReadsSources,
        tally: FillTally,
        reputation: Reputation,
        pace: Pace,
        *,
        stall_s: float,
    ) -> None:
        self._reader = reader
        self._tally = tally
        self._reputation = reputation
        self._pace = pace
        self._stall_s = stall_s

    async def read(
        self,
        source: Source,
        wanted: ObjectHeader,
        start: int,
        end: int,
        purse: Purse,
        *,
        etag: str | None = None,
        on_answer: Callable[[Answer], None] | None = None,
    ) -> AsyncIterator[Chunk]:
        """Bytes `start` up to before `end`. Ends before them, with nobody at fault, where the purse is
        empty, a pause was long or the box was held up: go on from there. Raises SourceFailed."""
        await self._pace.turn(waits=purse.waits)
        at = start
        stream = self._reader.read(source, wanted, start, end, etag=etag, on_answer=on_answer)
        async with aclosing(cast(AsyncGenerator[Chunk, None], stream)) as chunks:
            while not purse.is_empty:
                if await self._pace.turn(waits=purse.waits) > LET_GO_S:
                    return
                try:
                    chunk = await self._next(chunks)
                except _HeldUp:
                    return
                if chunk is None:
                    break
                if not chunk:
                    continue
                at += len(chunk)
                self._tally.bytes_fetched(source.kind, len(chunk))
                purse.take(len(chunk))
                if at > end:
                    raise SourceFailed(FaultKind.OVERLONG, f"byte {at} of {start}..{end}")
                yield chunk
                await self._pace.took(len(chunk))
        if at < end and not purse.is_empty:
            raise SourceFailed(FaultKind.TRUNCATED, f"ended at byte {at} of {start}..{end}")

    def blame(self, source: Source, wanted: ObjectHeader, error: SourceFailed) -> None:
        """Counts, logs and remembers what a source did."""
        now = asyncio.get_running_loop().time()
        self._tally.source_failed(source, error.fault)
        log.warning(
            "fill_source_failed",
            key=wanted.key,
            source=source.source_id,
            kind=source.kind.value,
            fault=error.fault.value,
            reason=str(error),
        )
        if error.retry_after_s is not None:
            self._reputation.asked_for_silence(source.source_id, error.retry_after_s, now)
        if self._reputation.faulted(source.source_id, error.fault, wanted.key, now):
            self._tally.source_left()
            log.error("fill_source_left", source=source.source_id, fault=error.fault.value)

    def is_left(self, source: Source) -> bool:
        """Whether a source is left for a time, for all objects."""
        return self._reputation.is_left(source.source_id, asyncio.get_running_loop().time())

    async def _next(self, chunks: AsyncIterator[Chunk]) -> Chunk | None:
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        try:
            async with asyncio.timeout(self._stall_s):
                return await anext(chunks, None)
        except TimeoutError:
            waited_s = loop.time() - began_at
            if waited_s > self._stall_s * _HELD_UP:
                raise _HeldUp from None
            raise SourceFailed(FaultKind.STALLED, f"no byte for {self._stall_s} s") from None
