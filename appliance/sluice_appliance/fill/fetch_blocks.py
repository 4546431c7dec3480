"""Brings the blocks of one object in, from several places at a time.

Each stream takes a piece of what is missing and reads it from the nearest source that few others read
from. A block that is not right is missing as before: its source is left for this object, and another
stream takes the piece. A block of which two sources sent parts says nothing about either.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Protocol, cast

from sluice_appliance.fill.http_answer import Answer
from sluice_appliance.fill.intake import Intake
from sluice_appliance.fill.purse import Purse
from sluice_appliance.fill.sources import Chunk, FaultKind, Source, SourceFailed, SourceKind, spread
from sluice_appliance.store.assembly import Span
from sluice_appliance.store.errors import BlockMismatch
from sluice_appliance.store.layout import BLOCK_BYTES, ObjectHeader

# Of one object: more would only share the same link, and each holds a chunk in memory.
STREAMS_MAX = 4
# Large enough that asking costs nothing beside it, small enough that streams end together.
PIECE_BYTES = 8 * BLOCK_BYTES
# Blocks that two sources sent parts of, refused with nobody at fault; beyond, the last one is.
_MIXED_MAX = 16


class BlockPartial(Protocol):
    """An object on its way in, block by block."""

    def missing(self) -> tuple[Span, ...]: ...
    async def write_at(self, offset: int, data: Chunk) -> None: ...


class BlockFetch:
    """One object, once: `run`, then see what is missing still."""

    def __init__(
        self,
        intake: Intake,
        partial: BlockPartial,
        wanted: ObjectHeader,
        sources: Sequence[Source],
        purse: Purse,
    ) -> None:
        self._intake = intake
        self._partial = partial
        self._wanted = wanted
        self._sources = sources
        self._purse = purse
        # What streams fetch now, and how much of it has come.
        self._under_way: dict[Span, int] = {}
        self._streams: Counter[str] = Counter()
        self._left: set[str] = set()
        # Sources that know no ranges: they send all of it, so one stream is enough.
        self._rangeless: set[str] = set()
        self._etags: dict[str, str] = {}
        self._came: Counter[SourceKind] = Counter()
        self._mixed = 0
        self._failure: OSError | None = None

    def most_from(self, sources: Sequence[Source]) -> SourceKind:
        """Which kind sent most of it; where nothing had to come, that of the best source."""
        if self._came:
            return self._came.most_common(1)[0][0]
        return sources[0].kind if sources else SourceKind.UNKNOWN

    async def run(self) -> None:
        """Until nothing is missing, the purse is empty or every source is left. Raises OSError of the disk."""
        missing_bytes = self._missing_bytes()
        self._purse.expect(missing_bytes)
        streams = min(STREAMS_MAX, -(-missing_bytes // PIECE_BYTES))
        async with asyncio.TaskGroup() as group:
            for _ in range(streams):
                group.create_task(self._stream())
        if self._failure is not None:
            raise self._failure
        if not self._purse.is_whole and self._purse.left_bytes < BLOCK_BYTES:
            # Too little for one more block is nothing.
            self._purse.left_bytes = 0

    async def _stream(self) -> None:
        while self._failure is None and not self._purse.is_empty:
            source = spread(self._sources, self._left, self._streams)
            if source is None:
                return
            piece = self._next_piece(source)
            if piece is None:
                return
            self._under_way[piece] = 0
            self._streams[source.source_id] += 1
            try:
                await self._fetch_piece(source, piece)
            except SourceFailed as error:
                self._left.add(source.source_id)
                self._intake.blame(source, self._wanted, error)
                self._purse.ensure(self._missing_bytes())
            except OSError as error:
                self._failure = error
            finally:
                del self._under_way[piece]
                self._streams[source.source_id] -= 1

    def _missing_bytes(self) -> int:
        return sum(span.end - span.start for span in self._partial.missing())

    def _next_piece(self, source: Source) -> Span | None:
        """Of what is missing and nobody fetches; None where there is none, or too little may come."""
        for span in self._partial.missing():
            start = span.start
            for other in sorted(self._under_way):
                if other.start <= start < other.end:
                    start = other.end
            if start >= span.end:
                continue
            later = min((o.start for o in self._under_way if o.start > start), default=span.end)
            if source.source_id in self._rangeless:
                return Span(start, min(self._wanted.size_bytes, later)) if start < later else None
            return self._within_purse(Span(start, min(span.end, later, _piece_end(start))))
        return None

    def _within_purse(self, piece: Span) -> Span | None:
        """Whole blocks: of a part of one nothing would be left when the fetch is gone on with."""
        to_come = sum(span.end - span.start - came for span, came in self._under_way.items())
        self._purse.ensure(to_come + piece.end - piece.start)
        left_bytes = self._purse.left_bytes - to_come
        if piece.end - piece.start <= left_bytes:
            return piece
        end = int(piece.start + max(0.0, left_bytes)) // BLOCK_BYTES * BLOCK_BYTES
        return Span(piece.start, end) if end > piece.start else None

    async def _fetch_piece(self, source: Source, piece: Span) -> None:
        def heed(answer: Answer) -> None:
            if answer.is_whole:
                self._rangeless.add(source.source_id)
            if answer.etag is not None:
                first = self._etags.setdefault(source.source_id, answer.etag)
                # Streams that asked side by side knew no tag yet.
                if answer.etag != first:
                    raise SourceFailed(FaultKind.CHANGED, f"it is {first} and {answer.etag}")

        stream = self._intake.read(
            source,
            self._wanted,
            *piece,
            self._purse,
            etag=self._etags.get(source.source_id),
            on_answer=heed,
        )
        at = piece.start
        async with aclosing(cast(AsyncGenerator[Chunk, None], stream)) as chunks:
            async for chunk in chunks:
                try:
                    await self._partial.write_at(at, chunk)
                except BlockMismatch as error:
                    if not self._is_mixed(piece, at):
                        raise SourceFailed(FaultKind.DIGEST_MISMATCH, str(error)) from None
                    self._mixed += 1
                    self._purse.ensure(self._missing_bytes())
                    return
                at += len(chunk)
                self._under_way[piece] += len(chunk)
                self._came[source.kind] += len(chunk)

    def _is_mixed(self, piece: Span, at: int) -> bool:
        """Whether another source may have begun the block that was refused."""
        began_in_block = piece.start % BLOCK_BYTES > 0
        return began_in_block and at < _piece_end(piece.start, 1) and self._mixed < _MIXED_MAX


def _piece_end(start: int, blocks: int = PIECE_BYTES // BLOCK_BYTES) -> int:
    return (start // BLOCK_BYTES + blocks) * BLOCK_BYTES
