"""A store in memory, sources and a control plane made by hand: what the fill speaks to, without waits."""

import asyncio
import errno
import hashlib
from collections.abc import AsyncIterator, Collection, Sequence

from sluice_appliance.fill.fetch import Partial
from sluice_appliance.fill.sources import FaultKind, Source, SourceFailed
from sluice_appliance.fill.worker import SourcesUnknown
from sluice_appliance.store.errors import DigestMismatch, Incomplete, TooManyBytes
from sluice_appliance.store.layout import ObjectHeader, ObjectKey


class FakeStore:
    """Passes the contract of `test_store_contract`. `failing` makes every change raise OSError."""

    def __init__(self) -> None:
        self.objects: dict[ObjectKey, ObjectHeader] = {}
        self.partials: dict[ObjectHeader, bytearray] = {}
        self.failing = False
        self.open_partials = 0
        self.most_open_partials = 0

    async def inventory(self) -> dict[ObjectKey, ObjectHeader]:
        return dict(self.objects)

    async def begin(self, header: ObjectHeader) -> Partial:
        self.check()
        self.open_partials += 1
        self.most_open_partials = max(self.most_open_partials, self.open_partials)
        return _FakePartial(self, header)

    async def delete(self, key: ObjectKey) -> None:
        self.check()
        self.objects.pop(key, None)

    async def keep_partials_of(self, wanted: Collection[ObjectHeader]) -> None:
        self.partials = {header: body for header, body in self.partials.items() if header in wanted}

    def check(self) -> None:
        if self.failing:
            raise OSError(errno.EIO, "the test's disk fails")


class _FakePartial:
    def __init__(self, store: FakeStore, header: ObjectHeader) -> None:
        self._store = store
        self._header = header
        self._open = True
        self._body = store.partials.setdefault(header, bytearray())

    @property
    def received_bytes(self) -> int:
        return len(self._body)

    async def write(self, chunk: bytes) -> None:
        self._store.check()
        if len(self._body) + len(chunk) > self._header.size_bytes:
            raise TooManyBytes(self._header.key)
        self._body.extend(chunk)

    async def publish(self) -> None:
        self._store.check()
        if len(self._body) < self._header.size_bytes:
            raise Incomplete(self._header.key)
        if hashlib.sha256(self._body).digest() != self._header.sha256:
            raise DigestMismatch(self._header.key)
        del self._store.partials[self._header]
        self._store.objects[self._header.key] = self._header

    async def discard(self) -> None:
        self._store.partials.pop(self._header, None)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._store.open_partials -= 1


class FakeSources:
    """Sends each body in ten pieces, `piece_s` apart; sources in `down` refuse."""

    def __init__(self, bodies: dict[str, bytes], *, piece_s: float = 0.0) -> None:
        self.bodies = bodies
        self.piece_s = piece_s
        self.down: set[str] = set()
        self.read_from: list[tuple[str, str, int]] = []

    async def read(self, source: Source, wanted: ObjectHeader, offset: int) -> AsyncIterator[bytes]:
        self.read_from.append((source.source_id, wanted.key, offset))
        if source.source_id in self.down:
            raise SourceFailed(FaultKind.UNAVAILABLE, "down")
        body = self.bodies[wanted.key]
        step = max(1, len(body) // 10)
        for start in range(offset, len(body), step):
            await asyncio.sleep(self.piece_s)
            yield body[start : start + step]


class FakeControlPlane:
    """Lists the same sources for every title, unless it is gone."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = sources
        self.gone = False
        self.asked = 0

    async def list_sources(self, title: str, version: str) -> Sequence[Source]:
        self.asked += 1
        if self.gone:
            raise SourcesUnknown("gone")
        return self.sources
