"""Fetches that are ended, and ordered again, at any moment."""

import asyncio

import pytest
from appliance.fill.signing import wanted_of

from sluice_appliance.fill.crew import Crew, Outcome
from sluice_appliance.fill.plan import Fetch
from sluice_appliance.fill.purse import Purse
from sluice_appliance.store.disks import Tier

FETCHES = [
    Fetch("titles/film", "v1", wanted_of(f"film/v1/{n}.mp4", b"%d" % n), Tier.SSD, 1)
    for n in range(3)
]


@pytest.mark.parametrize("turns", [0, 1, 2, 5])
def test_a_fetch_that_is_ended_before_it_began_is_fetched_when_it_is_ordered_again(
    turns: int,
) -> None:
    fetched: list[str] = []

    async def fetch(each: Fetch, purse: Purse, outcome: Outcome) -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        fetched.append(each.wanted.key)

    async def story() -> None:
        crew = Crew(fetch, lambda each: Purse(), lambda each: False, concurrency=2)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(crew.run())
            await asyncio.sleep(0)
            crew.order(FETCHES, {})
            for _ in range(turns):
                await asyncio.sleep(0)
            await crew.keep_only(FETCHES[2:])
            async with asyncio.timeout(5):
                crew.order(FETCHES, crew.taken())
                await crew.until_idle()
            assert {each.wanted.key for each in FETCHES} == set(fetched)
            assert not crew.taken()
            running.cancel()

    asyncio.run(story())
