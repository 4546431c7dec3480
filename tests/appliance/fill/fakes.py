"""A store in memory, sources and a control plane made by hand: what the fill speaks to, without waits."""

import asyncio
import errno
import hashlib
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from math import inf

from sluice_appliance.fill.fetch import Partial
from sluice_appliance.fill.http_answer import Answer
from sluice_appliance.fill.source_book import SourcesUnknown
from sluice_appliance.fill.sources import FaultKind, Source, SourceFailed, TitleSources
from sluice_appliance.store.assembly import Assembly, Span
from sluice_appliance.store.disks import DiskContents, DiskState, DiskStatus, Tier
from sluice_appliance.store.errors import DigestMismatch, Incomplete, TooManyBytes
from sluice_appliance.store.layout import BLOCK_BYTES, ObjectHeader, ObjectKey


class FakeDisk:
    """One disk of a FakeStore."""

    def __init__(self, name: str, tier: Tier, capacity_bytes: int) -> None:
        self.name = name
        self.tier = tier
        self.capacity_bytes = capacity_bytes
        self.state = DiskState.IN_USE
        self.objects: dict[ObjectKey, ObjectHeader] = {}

    def status(self) -> DiskStatus:
        stored_bytes = sum(header.size_bytes for header in self.objects.values())
        return DiskStatus(
            self.name, self.tier, self.state, "", self.capacity_bytes, stored_bytes, 0
        )


class FakeStore:
    """Passes the contract of `test_store_contract`. `failing` makes every change raise OSError."""

    def __init__(self, *disks: FakeDisk) -> None:
        self.all_disks = disks or (FakeDisk("ssd", Tier.SSD, 1 << 30),)
        self.partials: dict[ObjectHeader, tuple[FakeDisk, bytearray, Assembly]] = {}
        self.failing = False
        self.open_partials = 0
        self.most_open_partials = 0

    @property
    def objects(self) -> dict[ObjectKey, ObjectHeader]:
        """Those of the first disk."""
        return self.all_disks[0].objects

    async def contents(self) -> tuple[DiskContents, ...]:
        return tuple(
            DiskContents(
                disk.status(),
                dict(disk.objects) if disk.state is not DiskState.FAILED else {},
                {
                    header: assembly.received_bytes
                    for header, (where, _, assembly) in self.partials.items()
                    if where is disk and disk.state is not DiskState.FAILED
                },
            )
            for disk in self.all_disks
        )

    async def arriving(self) -> dict[str, dict[ObjectHeader, int]]:
        return {disk.status.name: dict(disk.partial) for disk in await self.contents()}

    def disks(self) -> tuple[DiskStatus, ...]:
        return tuple(disk.status() for disk in self.all_disks)

    async def begin(
        self,
        header: ObjectHeader,
        *,
        tier: Tier | None = None,
        block_digests: bytes | None = None,
        more_bytes: float = inf,
    ) -> Partial:
        self.check()
        disk = self._disk_for(tier)
        self.open_partials += 1
        self.most_open_partials = max(self.most_open_partials, self.open_partials)
        if header not in self.partials:
            assembly = Assembly(header.size_bytes, block_digests)
            self.partials[header] = disk, bytearray(header.size_bytes), assembly
        return _FakePartial(self, header)

    async def move(self, key: ObjectKey, to: Tier) -> bool:
        self.check()
        holders = [disk for disk in self.all_disks if key in disk.objects]
        if not holders:
            return False
        header = holders[0].objects[key]
        for disk in holders:
            del disk.objects[key]
        self._disk_for(to).objects[key] = header
        return True

    async def delete(self, key: ObjectKey, tier: Tier | None = None) -> None:
        self.check()
        for disk in self.all_disks:
            if tier in (None, disk.tier):
                disk.objects.pop(key, None)

    async def keep_partials_of(self, wanted: Collection[ObjectHeader]) -> None:
        self.partials = {header: at for header, at in self.partials.items() if header in wanted}

    def check(self) -> None:
        if self.failing:
            raise OSError(errno.EIO, "the test's disk fails")

    def _disk_for(self, tier: Tier | None) -> FakeDisk:
        for disk in self.all_disks:
            if tier in (None, disk.tier) and disk.state is DiskState.IN_USE:
                return disk
        raise OSError(errno.ENOSPC, "no disk is in use")


class _FakePartial:
    def __init__(self, store: FakeStore, header: ObjectHeader) -> None:
        self._store = store
        self._header = header
        self._open = True
        self._disk, self._body, self._assembly = store.partials[header]

    @property
    def received_bytes(self) -> int:
        return self._assembly.received_bytes

    def missing(self) -> tuple[Span, ...]:
        return self._assembly.missing()

    async def write(self, chunk: bytes | memoryview) -> None:
        await self.write_at(self.received_bytes, chunk)

    async def write_at(self, offset: int, data: bytes | memoryview) -> None:
        self._store.check()
        if offset + len(data) > self._header.size_bytes:
            raise TooManyBytes(self._header.key)
        self._body[offset : offset + len(data)] = data
        while data:
            block = offset // BLOCK_BYTES
            piece, data = (
                data[: (block + 1) * BLOCK_BYTES - offset],
                data[(block + 1) * BLOCK_BYTES - offset :],
            )
            self._assembly.check_order(block, offset)
            self._assembly.take(block, offset, piece)
            offset += len(piece)

    async def publish(self) -> None:
        self._store.check()
        if self.missing():
            raise Incomplete(self._header.key)
        if hashlib.sha256(self._body).digest() != self._header.sha256:
            raise DigestMismatch(self._header.key)
        del self._store.partials[self._header]
        self._disk.objects[self._header.key] = self._header

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
        # These send other bytes.
        self.lying: set[str] = set()
        self.read_from: list[tuple[str, str, int]] = []

    async def read(
        self,
        source: Source,
        wanted: ObjectHeader,
        start: int,
        end: int | None = None,
        *,
        etag: str | None = None,
        on_answer: Callable[[Answer], None] | None = None,
    ) -> AsyncIterator[bytes]:
        self.read_from.append((source.source_id, wanted.key, start))
        if source.source_id in self.down:
            raise SourceFailed(FaultKind.UNAVAILABLE, "down")
        body = self.bodies[wanted.key]
        if source.source_id in self.lying:
            body = bytes(len(body))[:-1] + b"x"
        step = max(1, len(body) // 10)
        for at in range(start, len(body) if end is None else end, step):
            await asyncio.sleep(self.piece_s)
            yield body[at : min(at + step, end or len(body))]


class FakeControlPlane:
    """Lists the same sources for every title, unless it is gone."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = sources
        self.block_digests: dict[ObjectKey, bytes] = {}
        self.gone = False
        self.asked = 0

    async def list_sources(self, title: str, version: str) -> TitleSources:
        self.asked += 1
        if self.gone:
            raise SourcesUnknown("gone")
        return TitleSources(self.sources, self.block_digests)
