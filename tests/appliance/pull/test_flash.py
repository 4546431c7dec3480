"""Blocks beside memory: what flash keeps, and what the fill has brought of an object so far."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from appliance.deadline import until
from appliance.pull.box import KEY, MIB, Box, Origin, body_of, box, header_of

from sluice_appliance.pull.flash import FOLDER
from sluice_appliance.pull.memory import PASSING_MAX
from sluice_appliance.store.blocks import block_digests
from sluice_appliance.store.store import Store

BODY = body_of(40 * MIB)
HOT = 3
Story = Callable[[Box, Origin], Awaitable[None]]


def told(folder: Path, story: Story, **settings: int) -> None:
    async def run() -> None:
        origin = Origin({KEY: BODY})
        async with origin.serving(), box(folder, **settings) as served:  # type: ignore[arg-type]
            served.titles.publish(KEY, BODY, origin)
            async with asyncio.timeout(60):
                await story(served, origin)

    asyncio.run(run())


async def read(served: Box, block: int) -> bytes:
    reply = await served.get(KEY, block * MIB, (block + 1) * MIB - 1)
    return await reply.body()


async def heat(served: Box) -> None:
    """One block is asked for until it is on flash, then others until it is in memory no more."""
    while not served.count("pull_flash_bytes_total"):
        assert await read(served, HOT) == BODY[HOT * MIB : (HOT + 1) * MIB]
        await asyncio.sleep(0.02)
    for block in range(4, 4 + PASSING_MAX + 3):
        await read(served, block)


def test_a_block_that_flash_keeps_is_asked_of_no_source_again(tmp_path: Path) -> None:
    async def story(served: Box, origin: Origin) -> None:
        await heat(served)
        asked = len(origin.asked)
        assert await read(served, HOT) == BODY[HOT * MIB : (HOT + 1) * MIB]
        assert len(origin.asked) == asked
        assert served.count("pull_blocks_total", **{"from": "flash"}) == 1

    told(tmp_path, story, memory_bytes=2 * MIB, flash_bytes=8 * MIB)


def test_a_block_that_flash_spoilt_comes_from_a_source_and_is_written_anew(tmp_path: Path) -> None:
    async def story(served: Box, origin: Origin) -> None:
        await heat(served)
        files = [path for path in (tmp_path / "store" / FOLDER).rglob("*") if path.is_file()]
        for path in files:
            path.write_bytes(bytes(MIB))
        asked = len(origin.asked)
        assert await read(served, HOT) == BODY[HOT * MIB : (HOT + 1) * MIB]
        assert len(origin.asked) == asked + 1
        assert served.count("pull_flash_errors_total") == 1
        await until(
            "it is written anew",
            lambda: any(path.read_bytes() == BODY[HOT * MIB : (HOT + 1) * MIB] for path in files),
        )

    told(tmp_path, story, memory_bytes=2 * MIB, flash_bytes=8 * MIB)


def test_flash_never_has_more_than_it_may(tmp_path: Path) -> None:
    async def story(served: Box, origin: Origin) -> None:
        for _ in range(4):
            for block in range(16):
                await read(served, block)
        await until("some was written", lambda: served.count("pull_flash_bytes_total") > 0)
        files = [path for path in (tmp_path / "store" / FOLDER).rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) <= 8 * MIB

    told(tmp_path, story, memory_bytes=2 * MIB, flash_bytes=8 * MIB)


def test_what_the_fill_has_brought_so_far_is_asked_of_no_source_again(tmp_path: Path) -> None:
    header = header_of(KEY, BODY)
    with Store.open(tmp_path / "store") as store:
        partial = store.begin(
            header.key,
            header.size_bytes,
            header.sha256,
            header.content_type,
            block_digests=block_digests(BODY),
        )
        partial.write_at(0, BODY[: 2 * MIB])
        partial.close()

    async def story(served: Box, origin: Origin) -> None:
        reply = await served.get(KEY, 0, 3 * MIB - 1)
        assert await reply.body() == BODY[: 3 * MIB]
        assert origin.asked == [(KEY, 2 * MIB, 3 * MIB)]
        assert served.count("pull_blocks_total", **{"from": "fill"}) == 2

    told(tmp_path, story)


def test_what_an_earlier_run_left_on_flash_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "store" / FOLDER / "ab" / "cdef"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"left")

    async def story(served: Box, origin: Origin) -> None:
        await until("it is gone", lambda: not left.exists())

    told(tmp_path, story, flash_bytes=8 * MIB)
