"""Reads a piece of an object from the sources that have it right, block by verified block."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

from sluice_appliance.fill.http_answer import Answer
from sluice_appliance.fill.intake import Intake
from sluice_appliance.fill.purse import Purse
from sluice_appliance.fill.sources import Chunk, FaultKind, Source, SourceFailed
from sluice_appliance.pull.tally import PullTally
from sluice_appliance.pull.verifying import Located, Verifier, WrongBytes
from sluice_appliance.store.layout import BLOCK_BYTES

# A source that could not be read on with nobody at fault is asked again so often.
_TRIES = 3
# All of a piece from one source: 8 MiB at a rate at which no film can be watched any more.
PIECE_TIMEOUT_S = 120.0


@dataclass(slots=True)
class Progress:
    """Which block is to come next, and behind which it ends."""

    at: int
    end: int

    @property
    def is_done(self) -> bool:
        return self.at >= self.end


class PieceReader:
    """`took` hears of every byte; `arrived` is given each block once it is verified."""

    def __init__(
        self,
        intake: Intake,
        tally: PullTally,
        *,
        took: Callable[[int], None],
        arrived: Callable[[str, int, bytes], None],
    ) -> None:
        self._intake = intake
        self._tally = tally
        self._took = took
        self._arrived = arrived

    async def read(
        self, located: Located, progress: Progress, is_wanted: Callable[[], bool]
    ) -> None:
        """Until all came, nobody wants what is next, or every source failed: see `progress`."""
        for source in located.sources:
            if self._intake.is_left(source):
                continue
            for _ in range(_TRIES):
                before = progress.at
                try:
                    async with asyncio.timeout(PIECE_TIMEOUT_S):
                        await self._read_from(source, located, progress, is_wanted)
                except SourceFailed as error:
                    self._intake.blame(source, located.header, error)
                    break
                except TimeoutError:
                    slow = f"a piece took more than {PIECE_TIMEOUT_S:g} s"
                    failed = SourceFailed(FaultKind.STALLED, slow)
                    self._intake.blame(source, located.header, failed)
                    break
                if progress.is_done or not is_wanted():
                    return
                if progress.at == before:
                    break
            if not is_wanted():
                return

    async def _read_from(
        self,
        source: Source,
        located: Located,
        progress: Progress,
        is_wanted: Callable[[], bool],
    ) -> None:
        header = located.header
        verifier = Verifier(located, progress.at)
        start = progress.at * BLOCK_BYTES
        end = min(header.size_bytes, progress.end * BLOCK_BYTES)
        self._tally.piece_begun()
        stream = self._intake.read(
            source,
            header,
            start,
            end,
            Purse(on_take=self._count, waits=False),
            on_answer=_heed_nothing,
        )
        async with aclosing(cast(AsyncGenerator[Chunk, None], stream)) as chunks:
            async for chunk in chunks:
                before = progress.at
                try:
                    for block, data in verifier.take(chunk):
                        progress.at = block + 1
                        self._arrived(header.key, block, data)
                except WrongBytes as error:
                    raise SourceFailed(FaultKind.DIGEST_MISMATCH, str(error)) from None
                if progress.at > before and not progress.is_done and not is_wanted():
                    self._tally.abandoned()
                    return

    def _count(self, size_bytes: int) -> None:
        self._tally.bytes_came(size_bytes)
        self._took(size_bytes)


def _heed_nothing(answer: Answer) -> None:
    """What comes is judged by its bytes."""
