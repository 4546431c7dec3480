"""A film that is larger than what a day may bring comes to a real disk that is nearly full."""

import asyncio
import random
from dataclasses import replace
from pathlib import Path

from appliance.deadline import until
from appliance.fill.fakes import FakeControlPlane, FakeSources
from appliance.fill.test_worker import NOON, ORIGIN, manifest
from appliance.store.damage import put

from sluice_appliance.fill.bookkeeper import Bookkeeper
from sluice_appliance.fill.policy import FillPolicy
from sluice_appliance.fill.tally import FillTally
from sluice_appliance.fill.worker import FillSettings, FillWorker
from sluice_appliance.metrics import supervisor_counters
from sluice_appliance.object_key import parse_key
from sluice_appliance.store.disks import DiskSpec, Tier
from sluice_appliance.store.store import Store
from sluice_appliance.store.threaded import ThreadedStore

CAPACITY_BYTES = 1_000_000
DAY_S = 86_400.0
OLD = [random.Random(number).randbytes(100_000) for number in range(6)]
BIG = random.Random(7).randbytes(900_000)
A_DAY = FillPolicy(window_bytes_max=300_000)


def test_a_film_that_comes_in_parts_needs_room_for_the_part_that_comes(tmp_path: Path) -> None:
    spec = DiskSpec(tmp_path / "disk", CAPACITY_BYTES, Tier.SSD)
    spec.path.mkdir()
    counters = supervisor_counters()
    tally = FillTally(counters)
    days = 0

    async def story(store: Store) -> None:
        nonlocal days
        books = Bookkeeper(None, tally, wall_clock=lambda: NOON + days * DAY_S)
        worker = FillWorker(
            store=ThreadedStore(store),
            reader=FakeSources({"film/v1/0.mp4": BIG}),
            lister=FakeControlPlane([ORIGIN]),
            tally=tally,
            books=books,
            settings=FillSettings(concurrency=2, stall_s=10.0),
            rng=random.Random(1),
            on_progress=lambda: None,
        )

        def complete() -> set[str]:
            found = worker.progress()
            return set(found.complete_titles) if found else set()

        def arrived() -> int:
            """Of the film, whole or in part."""
            whole = sum(len(BIG) for header in store.scan() if header.size_bytes == len(BIG))
            return whole or sum(size_bytes for _, size_bytes in store.partials())

        def days_part_came() -> bool:
            today = [*books.accounts.openings.values()][days:]
            return today > [290_000] or arrived() >= len(BIG)

        async with asyncio.TaskGroup() as group:
            running = group.create_task(worker.run())
            while "film/v1" not in complete():
                both = manifest(2 + days, film=[BIG], old=OLD)
                worker.want(replace(both, policy=A_DAY))
                await until("the day's bytes came, or all", days_part_came)
                held_bytes = sum(header.size_bytes for header in store.scan())
                assert held_bytes <= CAPACITY_BYTES
                if not days:
                    # There was room for the part: nothing had to go for it.
                    assert complete() == {"old/v1"}
                days += 1
                assert days < 10
                if arrived() >= len(BIG):
                    await until("it is whole", lambda: "film/v1" in complete())
            running.cancel()

    with Store.open(tmp_path / "store", [spec]) as store:
        for number, body in enumerate(OLD):
            put(store, parse_key(f"old/v1/{number}.mp4"), body)
        asyncio.run(story(store))
    assert days >= 3
    assert counters.totals()["sluice_appliance_fill_disk_errors_total"] == 0
