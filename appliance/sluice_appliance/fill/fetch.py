"""Brings one object into the store from the first source that has it right.

A source that is wrong about an object is left for that object; the next one goes on where it stood.
When the digest of the whole does not fit, nothing of it is kept and the object begins again at byte 0.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Protocol, cast

from sluice_appliance.fill.sources import FaultKind, Source, SourceFailed
from sluice_appliance.fill.tally import FillTally
from sluice_appliance.store.errors import BytesRefused, TooManyBytes
from sluice_appliance.store.layout import ObjectHeader
from sluice_runtime.logs import get_logger

log = get_logger(__name__)

# A digest that fails on bytes of several sources says nothing about the last one, which is then asked
# for the whole object, once.
_ATTEMPTS_PER_SOURCE = 2


class Partial(Protocol):
    """An object on its way in."""

    @property
    def received_bytes(self) -> int: ...
    async def write(self, chunk: bytes) -> None: ...
    async def publish(self) -> None: ...
    async def discard(self) -> None: ...
    def close(self) -> None: ...


class Begins(Protocol):
    """The store, as far as a fetch needs it."""

    async def begin(self, header: ObjectHeader) -> Partial: ...


class ReadsSources(Protocol):
    """The way to the sources."""

    def read(self, source: Source, wanted: ObjectHeader, offset: int) -> AsyncIterator[bytes]: ...


class ObjectUnfetched(Exception):
    """No source had it right. Ask for sources again, later."""


class Fetcher:
    """Fetches objects; one call for each object at a time."""

    def __init__(
        self, store: Begins, sources: ReadsSources, tally: FillTally, *, stall_s: float
    ) -> None:
        self._store = store
        self._sources = sources
        self._tally = tally
        self._stall_s = stall_s

    async def fetch(self, wanted: ObjectHeader, sources: Sequence[Source]) -> None:
        """Returns when the object is published. Raises ObjectUnfetched, and OSError of the disk."""
        for source in sources:
            if await self._fetch_from(source, wanted):
                return
        self._tally.object_unfetched()
        raise ObjectUnfetched(f"{wanted.key}: none of {len(sources)} sources had it right")

    async def _fetch_from(self, source: Source, wanted: ObjectHeader) -> bool:
        for _ in range(_ATTEMPTS_PER_SOURCE):
            published = await self._attempt(wanted, source)
            if published is not None:
                return published
        return False

    async def _attempt(self, wanted: ObjectHeader, source: Source) -> bool | None:
        """Whether the object is published; None when it is to begin again from this source."""
        partial = await self._store.begin(wanted)
        offset = partial.received_bytes
        try:
            await self._receive(partial, wanted, source)
            await partial.publish()
        except SourceFailed as error:
            if error.fault is FaultKind.OVERLONG and partial.received_bytes > offset:
                await partial.discard()
            self._blame(source, wanted, error.fault, str(error))
            return False
        except BytesRefused as error:
            await partial.discard()
            if offset == 0:
                self._blame(source, wanted, FaultKind.DIGEST_MISMATCH, str(error))
                return False
            self._tally.object_restarted()
            log.warning("fill_restarted", key=wanted.key, source=source.source_id, offset=offset)
            return None
        finally:
            partial.close()
        self._tally.object_fetched(source.kind)
        return True

    async def _receive(self, partial: Partial, wanted: ObjectHeader, source: Source) -> None:
        if partial.received_bytes == wanted.size_bytes:
            return
        stream = self._sources.read(source, wanted, partial.received_bytes)
        async with aclosing(cast(AsyncGenerator[bytes, None], stream)) as chunks:
            while (chunk := await self._next(chunks)) is not None:
                try:
                    await partial.write(chunk)
                except TooManyBytes as error:
                    raise SourceFailed(FaultKind.OVERLONG, str(error)) from None
                self._tally.bytes_fetched(source.kind, len(chunk))
        if partial.received_bytes < wanted.size_bytes:
            raise SourceFailed(
                FaultKind.TRUNCATED,
                f"ended after {partial.received_bytes} of {wanted.size_bytes} bytes",
            )

    async def _next(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        try:
            async with asyncio.timeout(self._stall_s):
                return await anext(chunks, None)
        except TimeoutError:
            raise SourceFailed(FaultKind.STALLED, f"no byte for {self._stall_s} s") from None

    def _blame(self, source: Source, wanted: ObjectHeader, fault: FaultKind, why: str) -> None:
        self._tally.source_failed(source, fault)
        log.warning(
            "fill_source_failed",
            key=wanted.key,
            source=source.source_id,
            kind=source.kind.value,
            fault=fault.value,
            reason=why,
        )
