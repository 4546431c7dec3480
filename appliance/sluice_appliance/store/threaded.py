"""The store for asyncio: each disk operation runs in a thread, to its end even when cancelled.

A write and the digest of its bytes share one hop into a thread; hopping twice, as with a file of
aiofiles and a digest beside it, costs more (appliance/README.md has the figures).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from concurrent.futures import Executor
from functools import partial
from math import inf
from typing import ParamSpec, TypeVar

from sluice_appliance.store.assembly import Span
from sluice_appliance.store.checking import Finding
from sluice_appliance.store.disks import DiskContents, DiskPlace, DiskStatus, Tier
from sluice_appliance.store.layout import ObjectHeader, ObjectKey
from sluice_appliance.store.moving import move
from sluice_appliance.store.partial import PartialObject
from sluice_appliance.store.store import Store

P = ParamSpec("P")
T = TypeVar("T")


class ThreadedStore:
    """What `fill` needs of the store."""

    def __init__(self, store: Store, executor: Executor | None = None) -> None:
        """`executor`: threads of its own for the audit, which then waits for nothing that comes in."""
        self._store = store
        self._executor = executor

    async def inventory(self) -> dict[ObjectKey, ObjectHeader]:
        """Everything held."""
        return await _in_thread(lambda: {header.key: header for header in self._store.scan()})

    async def contents(self) -> tuple[DiskContents, ...]:
        """Everything held and on its way in, disk by disk; nothing of disks that failed."""
        return await _in_thread(self._contents)

    async def arriving(self) -> Mapping[str, Mapping[ObjectHeader, int]]:
        """What is on its way in and how much of it takes room, by the name of its disk."""
        return await _in_thread(self._arriving)

    async def look_at_disks(self) -> tuple[DiskStatus, ...]:
        """How the disks are, asked of them now."""
        return await _in_thread(self._store.look_at_disks)

    def disks(self) -> tuple[DiskStatus, ...]:
        """How the disks are, as far as it is known."""
        return self._store.disks()

    async def begin(
        self,
        header: ObjectHeader,
        *,
        tier: Tier | None = None,
        block_digests: bytes | None = None,
        more_bytes: float = inf,
    ) -> "ThreadedPartial":
        """Goes on with an object or starts it; see `Store.begin`. Raises LayoutError, OSError."""
        partial = await _in_thread(
            self._store.begin,
            header.key,
            header.size_bytes,
            header.sha256,
            header.content_type,
            tier=tier,
            block_digests=block_digests,
            more_bytes=more_bytes,
        )
        return ThreadedPartial(partial)

    async def move(self, key: ObjectKey, to: Tier) -> bool:
        """Brings an object to the other tier; False where it is held nowhere. Raises StoreError, OSError."""
        return await _in_thread(move, self._store, key, to)

    async def delete(self, key: ObjectKey, tier: Tier | None = None) -> None:
        """Lets an object go, from everywhere or from one tier. Raises OSError."""
        await _in_thread(self._store.delete, key, tier)

    def places(self) -> tuple[DiskPlace, ...]:
        """Where objects may be."""
        return self._store.places()

    def audit(
        self, disk: str, *, may_write: Callable[[int], bool] = lambda size: True
    ) -> AsyncIterator[int | Finding]:
        """See `Store.audit`; between its pieces the caller may wait as long as it likes."""
        return self._stepwise(self._store.audit(disk, may_write=may_write))

    def recheck(self, path: str, suspect_byte: int) -> AsyncIterator[int | Finding]:
        """See `Store.recheck`."""
        return self._stepwise(self._store.recheck(path, suspect_byte))

    async def _stepwise(self, steps: Iterator[int | Finding]) -> AsyncIterator[int | Finding]:
        while (step := await _in_thread_of(self._executor, partial(next, steps, None))) is not None:
            yield step

    async def keep_partials_of(self, wanted: Collection[ObjectHeader]) -> None:
        """Removes what is on its way in and no longer wanted. Raises OSError."""
        await _in_thread(self._forget_all_but, wanted)

    def _contents(self) -> tuple[DiskContents, ...]:
        return tuple(
            DiskContents(
                status,
                {header.key: header for header in self._store.scan(status.name)},
                dict(self._store.partials(status.name)),
            )
            for status in self._store.disks()
        )

    def _arriving(self) -> dict[str, dict[ObjectHeader, int]]:
        return {
            status.name: dict(self._store.partials(status.name)) for status in self._store.disks()
        }

    def _forget_all_but(self, wanted: Collection[ObjectHeader]) -> None:
        for header, _ in list(self._store.partials()):
            if header not in wanted:
                self._store.forget_partial(header)


class ThreadedPartial:
    """A `PartialObject` for asyncio."""

    def __init__(self, partial: PartialObject) -> None:
        self._partial = partial

    @property
    def received_bytes(self) -> int:
        return self._partial.received_bytes

    async def write(self, chunk: bytes | memoryview) -> None:
        await _in_thread(self._partial.write, chunk)

    def missing(self) -> tuple[Span, ...]:
        """What is to come; see `PartialObject.missing`."""
        return self._partial.missing()

    async def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """See `PartialObject.write_at`; several may be under way."""
        await _in_thread(self._partial.write_at, offset, data)

    async def publish(self) -> None:
        await _in_thread(self._partial.publish)

    async def discard(self) -> None:
        await _in_thread(self._partial.discard)

    def close(self) -> None:
        self._partial.close()


async def _in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """A cancelled caller waits for the thread: the next owner of the file must find it alone."""
    return await _in_thread_of(None, partial(function, *args, **kwargs))


async def _in_thread_of(executor: Executor | None, call: Callable[[], T]) -> T:
    future = asyncio.get_running_loop().run_in_executor(executor, call)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError:
                continue
        if not future.cancelled() and future.exception() is None:
            _close_unclaimed(future.result())
        raise


def _close_unclaimed(result: object) -> None:
    if isinstance(result, PartialObject):
        result.close()
