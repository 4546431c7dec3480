"""What the fill knows of the store between two looks at all of it, on simulated time."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing

import pytest
from appliance.fill.fakes import FakeDisk, FakeStore
from appliance.fill.signing import wanted_of

from sluice_appliance.fill.plan import Move
from sluice_appliance.fill.shelves import content_of, holdings
from sluice_appliance.fill.stock import LOOK_OVER_S, Stock
from sluice_appliance.fill.survey import Eviction
from sluice_appliance.fill.tally import FillTally
from sluice_appliance.metrics import supervisor_counters
from sluice_appliance.store.disks import DiskContents, DiskState, Tier
from sluice_appliance.store.layout import ObjectHeader
from sluice_runtime.simulation import simulate

A = wanted_of("film/v1/a.mp4", b"a" * 100)
B = wanted_of("film/v1/b.mp4", b"b" * 100)


class SlowStore(FakeStore):
    """Takes `look_s` to be looked over."""

    def __init__(self, *disks: FakeDisk, look_s: float = 0.0) -> None:
        super().__init__(*disks)
        self.look_s = look_s
        self.looks = 0

    async def contents(self) -> tuple[DiskContents, ...]:
        self.looks += 1
        seen = await super().contents()
        await asyncio.sleep(self.look_s)
        return seen

    async def arriving(self) -> dict[str, dict[ObjectHeader, int]]:
        return {disk.status.name: dict(disk.partial) for disk in await super().contents()}


class Rig:
    def __init__(self, *, look_s: float = 0.0) -> None:
        self.ssd = FakeDisk("ssd", Tier.SSD, 10_000)
        self.hdd = FakeDisk("hdd", Tier.HDD, 10_000)
        self.store = SlowStore(self.ssd, self.hdd, look_s=look_s)
        self.counters = supervisor_counters()
        self.stock = Stock(self.store, FillTally(self.counters))

    async def put(self, header: ObjectHeader, body: bytes, tier: Tier) -> None:
        with closing(await self.store.begin(header, tier=tier)) as partial:
            await partial.write(body)
            await partial.publish()
        self.stock.published(header, tier)

    async def same_as_the_store(self) -> bool:
        known = await self.stock.contents()
        looks = self.store.looks
        there = await self.store.contents()
        assert self.store.looks == looks + 1
        size_bytes = sum(one.size_bytes for disk in there for one in disk.held.values())
        assert self.stock.by_tier == holdings(map(content_of, there))
        return known == there and self.stock.stored_bytes == size_bytes


def live(rig: Rig, story: Callable[[Rig], Awaitable[None]]) -> None:
    async def main() -> None:
        await story(rig)

    simulate(main())


def test_what_the_fill_does_to_the_store_is_known_without_another_look() -> None:
    async def story(rig: Rig) -> None:
        await rig.stock.contents()
        assert rig.store.looks == 1
        assert rig.counters.totals()["sluice_appliance_fill_looks_total"] == 1
        await rig.put(A, b"a" * 100, Tier.SSD)
        await rig.put(B, b"b" * 100, Tier.HDD)
        assert await rig.same_as_the_store()
        assert await rig.stock.move(Move(A, Tier.SSD, Tier.HDD))
        assert await rig.same_as_the_store()
        await rig.stock.let_go([Eviction(B.key, Tier.HDD), Eviction(B.key, Tier.SSD)])
        assert await rig.same_as_the_store()
        held = rig.stock.held
        assert held is not None
        assert dict(held) == {A.key: A}
        begun = wanted_of("film/v1/c.mp4", b"c" * 50)
        with closing(await rig.store.begin(begun, tier=Tier.SSD)) as partial:
            await partial.write(b"c" * 10)
        assert await rig.same_as_the_store()

    live(Rig(), story)


def test_a_new_version_under_the_same_key_takes_the_place_of_the_former_on_every_tier() -> None:
    async def story(rig: Rig) -> None:
        await rig.stock.contents()
        await rig.put(A, b"a" * 100, Tier.HDD)
        other = wanted_of(A.key, b"x" * 30)
        # The store lets the former go, wherever it stands; the fake is told to.
        await rig.store.delete(A.key)
        await rig.put(other, b"x" * 30, Tier.SSD)
        assert await rig.same_as_the_store()
        assert rig.stock.stored_bytes == 30

    live(Rig(), story)


def test_what_a_disk_held_that_failed_counts_as_gone_at_once() -> None:
    async def story(rig: Rig) -> None:
        await rig.stock.contents()
        await rig.put(A, b"a" * 100, Tier.SSD)
        rig.ssd.state = DiskState.FAILED
        assert all(not disk.held for disk in await rig.stock.contents())
        assert rig.stock.by_tier == {Tier.HDD: {}}
        assert rig.stock.stored_bytes == 0
        assert rig.store.looks == 1

    live(Rig(), story)


@pytest.mark.parametrize("look_s", [0.0, 30.0])
def test_looks_take_a_hundredth_of_the_time_however_large_the_store(look_s: float) -> None:
    hours = 5

    async def story(rig: Rig) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + hours * 3600
        while loop.time() < end:
            await rig.stock.contents()
            await asyncio.sleep(LOOK_OVER_S)
        assert rig.store.looks * look_s <= 0.011 * hours * 3600 + look_s
        if not look_s:
            assert rig.store.looks == hours * 60

    live(Rig(look_s=look_s), story)


def test_a_loss_is_looked_for_at_once_on_a_small_store_and_soon_on_a_large_one() -> None:
    async def story(rig: Rig) -> None:
        await rig.stock.contents()
        await rig.put(A, b"a" * 100, Tier.SSD)
        rig.ssd.objects.clear()
        rig.stock.lost()
        await asyncio.sleep(rig.store.look_s * 10)
        held = rig.stock.held
        await rig.stock.contents()
        assert held is not None
        assert rig.store.looks == 2
        assert rig.stock.stored_bytes == 0

    live(Rig(), story)
    live(Rig(look_s=30.0), story)


def test_what_is_published_during_a_look_is_known_after_it() -> None:
    async def story(rig: Rig) -> None:
        await rig.put(B, b"b" * 100, Tier.HDD)
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(rig.stock.contents())
            await asyncio.sleep(10)
            await rig.put(A, b"a" * 100, Tier.SSD)
        ssd, hdd = looking.result()
        assert (dict(ssd.held), dict(hdd.held)) == ({A.key: A}, {B.key: B})
        assert await rig.same_as_the_store()
        # The next look begins with nothing of this one.
        await rig.stock.let_go([Eviction(A.key, Tier.SSD)])
        rig.stock.lost()
        await asyncio.sleep(301)
        assert await rig.same_as_the_store()
        assert rig.stock.stored_bytes == 100

    live(Rig(look_s=30.0), story)


def test_a_change_that_is_broken_off_is_looked_at_as_it_may_have_been_made() -> None:
    async def story(rig: Rig) -> None:
        await rig.put(A, b"a" * 100, Tier.SSD)
        await rig.stock.contents()
        looks = rig.store.looks
        rig.store.failing = True
        with pytest.raises(OSError, match="the test's disk fails"):
            await rig.stock.let_go([Eviction(A.key, Tier.SSD)])
        rig.store.failing = False
        await rig.stock.contents()
        assert rig.store.looks == looks + 1
        await rig.stock.contents()
        assert rig.store.looks == looks + 1

    live(Rig(), story)


def test_many_losses_on_a_large_store_do_not_keep_it_busy_with_looks() -> None:
    async def story(rig: Rig) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + 3600
        while loop.time() < end:
            rig.stock.lost()
            await rig.stock.contents()
            await asyncio.sleep(1.0)
        assert rig.store.looks * 30.0 <= 0.11 * 3600

    live(Rig(look_s=30.0), story)


class HastyStore(SlowStore):
    """Looks first, and takes its time then."""

    async def contents(self) -> tuple[DiskContents, ...]:
        seen = await FakeStore.contents(self)
        await asyncio.sleep(self.look_s)
        return seen


def test_what_is_published_while_the_store_is_looked_over_is_not_forgotten() -> None:
    async def story() -> None:
        rig = Rig()
        rig.store = HastyStore(rig.ssd, rig.hdd, look_s=5.0)
        rig.stock = Stock(rig.store, FillTally(supervisor_counters()))
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(rig.stock.contents())
            await asyncio.sleep(1)
            await rig.put(A, b"a" * 100, Tier.SSD)
        assert [set(disk.held) for disk in looking.result()] == [{A.key}, set()]
        assert rig.stock.held is not None
        assert set(rig.stock.held) == {A.key}
        assert rig.stock.stored_bytes == A.size_bytes

    simulate(story())
