"""Brings one object into the store from the sources that have it right.

Where the digests of its blocks are known, pieces of it come side by side and each block is verified as it
comes (`fetch_blocks.py`). Where they are not, it comes in order from one source at a time: a source that
is wrong is left, and the next one goes on where it stood. When the digest of the whole does not fit,
nothing of it is kept and the object begins again at byte 0.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from math import inf
from typing import Protocol, cast

from sluice_appliance.fill.fetch_blocks import BlockFetch, BlockPartial
from sluice_appliance.fill.http_answer import Answer
from sluice_appliance.fill.intake import Intake
from sluice_appliance.fill.purse import Purse
from sluice_appliance.fill.sources import Chunk, FaultKind, Source, SourceFailed
from sluice_appliance.fill.tally import FillTally
from sluice_appliance.store.disks import Tier
from sluice_appliance.store.errors import BytesRefused, TooManyBytes
from sluice_appliance.store.layout import BLOCK_DIGEST_BYTES, ObjectHeader, block_count
from sluice_runtime.logs import get_logger

log = get_logger(__name__)

# A digest that fails on bytes of several sources says nothing about the last one, which is then asked
# for the whole object, once.
_ATTEMPTS_PER_SOURCE = 2
# Objects whose blocks were right and whose whole was not: their publisher's digests are of no use.
_DISTRUSTED_MAX = 1024


class Partial(BlockPartial, Protocol):
    """An object on its way in."""

    @property
    def received_bytes(self) -> int: ...
    async def write(self, chunk: Chunk) -> None: ...
    async def publish(self) -> None: ...
    async def discard(self) -> None: ...
    def close(self) -> None: ...


class Begins(Protocol):
    """The store, as far as a fetch needs it."""

    async def begin(
        self,
        header: ObjectHeader,
        *,
        tier: Tier | None = None,
        block_digests: bytes | None = None,
        more_bytes: float = inf,
    ) -> Partial: ...


class ObjectUnfetched(Exception):
    """No source had it right. Ask for sources again, later."""


class Fetcher:
    """Fetches objects; one call for each object at a time."""

    def __init__(
        self,
        store: Begins,
        intake: Intake,
        tally: FillTally,
        *,
        unsure: Callable[[], None] = lambda: None,
    ) -> None:
        """`unsure` hears when a fetch was cancelled while it published: the object may be there."""
        self._unsure = unsure
        self._store = store
        self._intake = intake
        self._tally = tally
        self._distrusted: set[ObjectHeader] = set()

    async def fetch(
        self,
        wanted: ObjectHeader,
        sources: Sequence[Source],
        *,
        tier: Tier | None = None,
        block_digests: bytes | None = None,
        purse: Purse | None = None,
    ) -> bool:
        """Whether the object is published; if not, the purse is empty, and what came of it is kept.
        Raises ObjectUnfetched, and OSError of the disk."""
        purse = purse or Purse()
        usable = [source for source in sources if not self._intake.is_left(source)]
        if block_digests is not None and self._are_of_use(block_digests, wanted):
            published = await self._by_blocks(wanted, usable, tier, block_digests, purse)
        else:
            published = await self._in_order(wanted, usable, tier, purse)
        if published or purse.is_empty:
            return published
        self._tally.object_unfetched()
        raise ObjectUnfetched(f"{wanted.key}: none of {len(usable)} sources had it right")

    async def _publish(self, partial: Partial) -> None:
        try:
            await partial.publish()
        except asyncio.CancelledError:
            self._unsure()
            raise

    def _are_of_use(self, digests: bytes, wanted: ObjectHeader) -> bool:
        expected = block_count(wanted.size_bytes) * BLOCK_DIGEST_BYTES
        return len(digests) == expected and wanted not in self._distrusted

    # --- with digests of blocks -------------------------------------------------------------------

    async def _by_blocks(
        self,
        wanted: ObjectHeader,
        sources: Sequence[Source],
        tier: Tier | None,
        digests: bytes,
        purse: Purse,
    ) -> bool:
        partial = await self._store.begin(
            wanted, tier=tier, block_digests=digests, more_bytes=purse.left_bytes
        )
        try:
            fetch = BlockFetch(self._intake, partial, wanted, sources, purse)
            await fetch.run()
            if partial.missing():
                return False
            await self._publish(partial)
        except BytesRefused as error:
            await partial.discard()
            self._distrust(wanted, str(error))
            return False
        finally:
            partial.close()
        self._tally.object_fetched(fetch.most_from(sources))
        return True

    def _distrust(self, wanted: ObjectHeader, why: str) -> None:
        """Every block was what the publisher said, and the whole is not: no source is at fault."""
        self._tally.object_restarted()
        log.error("fill_blocks_distrusted", key=wanted.key, reason=why)
        while len(self._distrusted) >= _DISTRUSTED_MAX:
            self._distrusted.pop()
        self._distrusted.add(wanted)

    # --- without ----------------------------------------------------------------------------------

    async def _in_order(
        self, wanted: ObjectHeader, sources: Sequence[Source], tier: Tier | None, purse: Purse
    ) -> bool:
        for source in sources:
            for _ in range(_ATTEMPTS_PER_SOURCE):
                published = await self._attempt(wanted, source, tier, purse)
                if published or purse.is_empty:
                    return bool(published)
                if published is not None:
                    break
        return False

    async def _attempt(
        self, wanted: ObjectHeader, source: Source, tier: Tier | None, purse: Purse
    ) -> bool | None:
        """Whether the object is published; None when it is to begin again from this source."""
        partial = await self._store.begin(wanted, tier=tier, more_bytes=purse.left_bytes)
        offset = partial.received_bytes
        missing_bytes = wanted.size_bytes - offset
        purse.expect(missing_bytes)
        try:
            await self._receive(partial, wanted, source, purse)
            missing_bytes = wanted.size_bytes - partial.received_bytes
            if missing_bytes:
                return False
            await self._publish(partial)
        except SourceFailed as error:
            missing_bytes = wanted.size_bytes - partial.received_bytes
            if error.fault is FaultKind.OVERLONG and partial.received_bytes > offset:
                await partial.discard()
                missing_bytes = wanted.size_bytes
            self._intake.blame(source, wanted, error)
            return False
        except BytesRefused as error:
            await partial.discard()
            missing_bytes = wanted.size_bytes
            if offset == 0:
                self._intake.blame(
                    source, wanted, SourceFailed(FaultKind.DIGEST_MISMATCH, str(error))
                )
                return False
            self._tally.object_restarted()
            log.warning("fill_restarted", key=wanted.key, source=source.source_id, offset=offset)
            return None
        finally:
            partial.close()
            purse.ensure(missing_bytes)
        self._tally.object_fetched(source.kind)
        return True

    async def _receive(
        self, partial: Partial, wanted: ObjectHeader, source: Source, purse: Purse
    ) -> None:
        """All that is missing, asked for again where a pause cut it."""
        etag: str | None = None

        def heed(answer: Answer) -> None:
            nonlocal etag
            etag = answer.etag

        while (missing_bytes := wanted.size_bytes - partial.received_bytes) > 0:
            # A plan that was made meanwhile may have counted as missing what has come, or the reverse.
            purse.ensure(missing_bytes)
            if purse.is_empty:
                return
            stream = self._intake.read(
                source,
                wanted,
                partial.received_bytes,
                wanted.size_bytes,
                purse,
                etag=etag,
                on_answer=heed,
            )
            async with aclosing(cast(AsyncGenerator[Chunk, None], stream)) as chunks:
                async for chunk in chunks:
                    try:
                        await partial.write(chunk)
                    except TooManyBytes as error:
                        raise SourceFailed(FaultKind.OVERLONG, str(error)) from None
