import asyncio

import pytest

from sluice_runtime.simulation import simulate


def test_a_simulated_week_passes_in_the_order_of_its_timers() -> None:
    async def week() -> list[tuple[float, str]]:
        seen: list[tuple[float, str]] = []
        clock = asyncio.get_running_loop().time

        async def nap(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            seen.append((clock(), name))

        async with asyncio.TaskGroup() as group:
            group.create_task(nap("week", 7 * 86_400))
            group.create_task(nap("hour", 3_600))
            group.create_task(nap("day", 86_400))
        return seen

    assert simulate(week()) == [(3_600, "hour"), (86_400, "day"), (604_800, "week")]


def test_a_timeout_in_simulated_time_fires_at_its_time() -> None:
    async def wait() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(100):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert simulate(wait()) == pytest.approx(100)


def test_tasks_that_wait_for_nothing_that_can_come_are_a_deadlock_and_said() -> None:
    async def stuck() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="deadlock"):
        simulate(stuck())
