"""What the fill relies on in a store holds for the real one and for the fake alike."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest
from appliance.fill.fakes import FakeStore
from appliance.fill.signing import wanted_of

from sluice_appliance.fill.worker import FillStore
from sluice_appliance.store.errors import DigestMismatch, Incomplete, TooManyBytes
from sluice_appliance.store.layout import ObjectHeader, ObjectKey
from sluice_appliance.store.store import Store
from sluice_appliance.store.threaded import ThreadedStore

BODY = os.urandom(50_000)
WANTED = wanted_of("film/v1/a.mp4", BODY)
Use = Callable[[FillStore], Awaitable[None]]
With = Callable[[Use], None]


async def held(store: FillStore) -> dict[ObjectKey, ObjectHeader]:
    return {key: one for disk in await store.contents() for key, one in disk.held.items()}


@pytest.fixture(params=["real", "fake"])
def with_store(request: pytest.FixtureRequest, tmp_path: Path) -> With:
    async def run(use: Use) -> None:
        if request.param == "fake":
            await use(FakeStore())
        else:
            with Store.open(tmp_path) as store:
                await use(ThreadedStore(store))

    return lambda use: asyncio.run(run(use))


def test_what_is_published_is_in_the_inventory_until_it_is_deleted(with_store: With) -> None:
    async def use(store: FillStore) -> None:
        with closing(await store.begin(WANTED)) as partial:
            await partial.write(BODY)
            assert await held(store) == {}
            await partial.publish()
        assert await held(store) == {WANTED.key: WANTED}
        await store.delete(WANTED.key)
        await store.delete(WANTED.key)
        assert await held(store) == {}

    with_store(use)


def test_a_partial_that_was_closed_goes_on_where_it_stood(with_store: With) -> None:
    async def use(store: FillStore) -> None:
        with closing(await store.begin(WANTED)) as partial:
            await partial.write(BODY[:100])
        with closing(await store.begin(WANTED)) as partial:
            assert partial.received_bytes == 100
            await partial.write(BODY[100:])
            await partial.publish()

    with_store(use)


def test_wrong_too_few_and_too_many_bytes_are_told_apart(with_store: With) -> None:
    async def use(store: FillStore) -> None:
        with closing(await store.begin(WANTED)) as partial:
            with pytest.raises(Incomplete):
                await partial.publish()
            with pytest.raises(TooManyBytes):
                await partial.write(BODY + b"x")
            await partial.write(bytes(len(BODY)))
            with pytest.raises(DigestMismatch):
                await partial.publish()
            await partial.discard()
        assert await held(store) == {}
        with closing(await store.begin(WANTED)) as partial:
            assert partial.received_bytes == 0

    with_store(use)


def test_partials_that_nobody_wants_are_forgotten_and_the_others_kept(with_store: With) -> None:
    other = wanted_of("film/v1/b.mp4", b"other")

    async def use(store: FillStore) -> None:
        for wanted in (WANTED, other):
            with closing(await store.begin(wanted)) as partial:
                await partial.write(b"x")
        await store.keep_partials_of({WANTED})
        with closing(await store.begin(WANTED)) as kept, closing(await store.begin(other)) as gone:
            assert (kept.received_bytes, gone.received_bytes) == (1, 0)

    with_store(use)


def test_what_is_arriving_is_told_without_a_look_at_what_is_held(with_store: With) -> None:
    async def use(store: FillStore) -> None:
        names = {disk.name for disk in store.disks()}
        assert {name: dict(of) for name, of in (await store.arriving()).items()} == {
            name: {} for name in names
        }
        with closing(await store.begin(WANTED)) as partial:
            await partial.write(BODY[:20_000])
        [came] = [dict(of) for of in (await store.arriving()).values() if of]
        assert came.keys() == {WANTED}
        assert 20_000 <= came[WANTED] <= len(BODY)
        assert {d.status.name: dict(d.partial) for d in await store.contents()} == {
            name: dict(of) for name, of in (await store.arriving()).items()
        }

    with_store(use)
