"""A flood of names that nobody has: the control plane hears little of it, and players nothing."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from appliance.pull.box import KEY, MIB, Origin, body_of, box
from appliance.pull.test_bounds import Heard
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.pull.messages import Why
from sluice_appliance.pull.puller import LOOKS_MAX
from sluice_appliance.pull.vain_looks import VAIN_BURST, VAIN_PER_S, VainLooks

BODY = body_of(2 * MIB)
OTHER = "other/v1/video.mp4"
# What a worker asks at a time is less.
AT_ONCE = 32
Steps = st.lists(st.tuples(st.floats(0, 3), st.integers(0, 300), st.booleans()), max_size=40)


@given(Steps)
def test_over_no_time_more_is_asked_in_vain_than_the_burst_and_what_came_in_since(
    steps: list[tuple[float, int, bool]],
) -> None:
    looks, now, vain = VainLooks(), 1000.0, list[float]()
    for passes, asks, is_found in steps:
        now += passes
        for _ in range(asks):
            if looks.begin(now):
                if is_found:
                    looks.not_in_vain()
                else:
                    vain.append(now)
    # From any of them to any later one.
    began_at_most = 0.0
    for asked, at in enumerate(vain):
        began_at_most = min(began_at_most, asked - VAIN_PER_S * at) if asked else -VAIN_PER_S * at
        assert asked + 1 - VAIN_PER_S * at - began_at_most <= VAIN_BURST + 1e-6


def test_who_asks_for_what_there_is_is_never_held_up() -> None:
    looks = VainLooks()
    for _ in range(10 * VAIN_BURST):
        assert looks.begin(1.0)
        looks.not_in_vain()
    # As many as are under way at a time hold a token each, and are given them back.
    assert all(looks.begin(1.0) for _ in range(VAIN_BURST))
    assert not looks.begin(1.0)
    looks.not_in_vain()
    assert looks.begin(1.0)
    # A clock that stands still or goes back fills nothing.
    assert not looks.begin(0.5)
    assert looks.begin(1.0 + 1 / VAIN_PER_S)


def test_a_flood_of_wrong_names_reaches_the_control_plane_as_little_as_was_said(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        origin = Origin({KEY: BODY, OTHER: BODY})
        async with origin.serving(), box(tmp_path) as served:
            served.titles.publish(KEY, BODY, origin)
            served.titles.publish(OTHER, BODY, origin)
            async with asyncio.timeout(30):
                assert (await served.get(KEY, 0, 9)).status == 206
                began_at = asyncio.get_running_loop().time()
                statuses = list[int]()
                for number in range(0, 2 * VAIN_BURST, AT_ONCE):
                    replies = await asyncio.gather(
                        *(served.get(f"flood/v1/{n}") for n in range(number, number + AT_ONCE))
                    )
                    statuses += [reply.status for reply in replies]
                    refused = [reply for reply in replies if reply.status == 503]
                    assert all(reply.fields["Retry-After"] for reply in refused)
                    for reply in replies:
                        await reply.leave()
                passed_s = asyncio.get_running_loop().time() - began_at
                vain = sum(key.startswith("flood") for key in served.titles.asked)
                assert statuses.count(404) == vain
                assert vain <= VAIN_BURST + VAIN_PER_S * passed_s + 1
                told = served.count("pulls_refused_total", bound="vain_looks")
                assert told == statuses.count(503) == len(statuses) - vain > 0
                # What is known is served as before.
                assert await (await served.get(KEY, 5, 9)).body() == BODY[5:10]
                # And what is asked for has its turn, if not at once.
                while (await served.get(OTHER, 0, 9)).status != 206:
                    await asyncio.sleep(0.02)

    asyncio.run(run())


def test_a_box_that_is_asked_for_many_titles_that_there_are_refuses_none(tmp_path: Path) -> None:
    async def run() -> None:
        origin = Origin({})
        async with origin.serving(), box(tmp_path) as served, asyncio.timeout(30):
            # Whoever was answered knows that it runs.
            assert (await served.get("nothing/v1/a.mp4")).status == 404
            worker, puller = Heard(), served.pulls.puller

            async def look(keys: list[str], answered: Callable[[], int]) -> None:
                """Faster than questions that find nothing come in."""
                for at in range(0, len(keys), LOOKS_MAX):
                    for number, key in enumerate(keys[at : at + LOOKS_MAX], at):
                        puller.look(worker, number, key)
                    until_now = min(at + LOOKS_MAX, len(keys))
                    while answered() < until_now:
                        await asyncio.sleep(0)

            keys = [f"film-{number}/v1/a.mp4" for number in range(4 * VAIN_BURST)]
            for key in keys:
                served.titles.publish(key, b"body", origin)
            await look(keys, lambda: len(worker.known))
            assert worker.failures == []
            # Nor is one while the control plane cannot be asked: nobody can say.
            served.titles.gone = True
            await look([f"gone-{key}" for key in keys], lambda: len(worker.failures))
            assert {why for _, why in worker.failures} == {Why.ABSENT}
            assert served.count("pulls_refused_total", bound="vain_looks") == 0

    asyncio.run(run())
