"""What becomes of one more than there may be."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from appliance.deadline import until
from appliance.pull.box import MIB, Box, Origin, body_of, box

from sluice_appliance.metrics import supervisor_counters
from sluice_appliance.pull.flash import FOLDER, WRITES_MAX, FlashBlocks
from sluice_appliance.pull.messages import Why
from sluice_appliance.pull.puller import LOOKERS_MAX, LOOKS_MAX, PULLS_MAX
from sluice_appliance.pull.tally import PullTally
from sluice_appliance.pull.verifying import Located
from sluice_appliance.store.layout import ObjectHeader

BODY = body_of(MIB)
KEYS = [f"film/v1/{number}.mp4" for number in range(PULLS_MAX + 4)]
OTHER = "other/v1/a.mp4"


class Heard:
    """A worker that only listens."""

    def __init__(self) -> None:
        self.known: set[int] = set()
        self.failures: list[tuple[int, Why]] = []
        self.blocks: list[str] = []

    def facts(self, number: int, header: ObjectHeader) -> None:
        self.known.add(number)

    def failed(self, number: int, why: Why) -> None:
        self.failures.append((number, why))

    def block(self, key: str, block: int, descriptor: int) -> None:
        self.blocks.append(key)

    def drop(self, key: str, block: int) -> None: ...


class SlowTitles:
    """Answers that nobody has it, when it is let."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    async def look_up(self, key: str) -> Located | None:
        await self.gate.wait()
        return None


def told(folder: Path, story: Callable[[Box, Origin], Awaitable[None]]) -> None:
    async def run() -> None:
        origin = Origin(dict.fromkeys((*KEYS, OTHER), BODY))
        async with origin.serving(), box(folder) as served:
            for key in (*KEYS, OTHER):
                served.titles.publish(key, BODY, origin)
            async with asyncio.timeout(30):
                # Whoever was served knows that it runs.
                assert (await served.get(OTHER, 0, 9)).status == 206
                origin.asked.clear()
                await story(served, origin)

    asyncio.run(run())


def test_no_more_is_asked_of_the_control_plane_at_a_time_and_no_more_wait_for_an_answer(
    tmp_path: Path,
) -> None:
    async def story(served: Box, origin: Origin) -> None:
        titles, worker, puller = SlowTitles(), Heard(), served.pulls.puller
        served.pulls.catalog.joined(titles)
        for number in range(LOOKERS_MAX):
            puller.look(worker, number, "one")
        assert worker.failures == []
        puller.look(worker, LOOKERS_MAX, "one")
        assert worker.failures == [(LOOKERS_MAX, Why.BUSY)]
        for number in range(LOOKS_MAX - 1):
            puller.look(worker, -number, f"other-{number}")
        assert len(worker.failures) == 1
        puller.look(worker, -LOOKS_MAX, "one more")
        assert worker.failures[1:] == [(-LOOKS_MAX, Why.BUSY)]
        assert served.count("pulls_refused_total", bound="looks") == 2
        titles.gate.set()
        await until("all are answered", lambda: len(worker.failures) == LOOKERS_MAX + LOOKS_MAX + 1)
        assert {why for _, why in worker.failures[2:]} == {Why.ABSENT}

    told(tmp_path, story)


def test_no_more_is_asked_of_sources_at_a_time_and_the_rest_has_its_turn(tmp_path: Path) -> None:
    async def story(served: Box, origin: Origin) -> None:
        origin.held_from = 0
        worker, puller = Heard(), served.pulls.puller
        for number, key in enumerate(KEYS):
            puller.look(worker, number, key)
        await until("they are known", lambda: len(worker.known) == len(KEYS))
        for number, key in enumerate(KEYS):
            puller.want(worker, number, key, 0, 1)
        await until("as many as may be are asked for", lambda: len(origin.asked) >= PULLS_MAX)
        assert puller.pulls_under_way == PULLS_MAX
        assert puller.waiting == len(KEYS)
        origin.gate.set()
        await until("all came", lambda: sorted(worker.blocks) == sorted(KEYS))
        assert worker.failures == []

    told(tmp_path, story)


def test_a_source_that_asked_for_time_is_not_asked_for_other_objects_either(tmp_path: Path) -> None:
    async def story(served: Box, origin: Origin) -> None:
        origin.down, origin.retry_after = True, "60"
        assert (await served.get(KEYS[0], 0, 9)).status == 503
        assert (await served.get(KEYS[1], 0, 9)).status == 503
        assert [key for key, _, _ in origin.asked] == [KEYS[0]]
        assert served.count("pulls_failed_total", reason="unavailable") == 2

    told(tmp_path, story)


def test_a_disk_that_is_too_slow_for_what_is_worth_keeping_keeps_less_of_it(tmp_path: Path) -> None:
    async def run() -> None:
        counters = supervisor_counters()
        flash = FlashBlocks(tmp_path / FOLDER, lambda: (), PullTally(counters))
        lost: list[str] = []
        for number in range(WRITES_MAX + 2):
            flash.write(f"{KEYS[0]}#{number}", b"block")
        running = asyncio.create_task(flash.run(lambda left: (), lost.append))
        try:
            await until("the rest is written", lambda: len(lost) == 2)
        finally:
            running.cancel()
            await asyncio.wait([running])
            flash.close()
        assert lost == [f"{KEYS[0]}#{number}" for number in (WRITES_MAX, WRITES_MAX + 1)]
        assert len(list((tmp_path / FOLDER).glob("??/*"))) == WRITES_MAX
        refused = 'sluice_appliance_pulls_refused_total{bound="flash_writes"}'
        assert counters.totals()[refused] == 2

    asyncio.run(run())
