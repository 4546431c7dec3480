"""Blocks beside memory: what flash keeps, and what the fill has brought of an object so far."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from appliance.deadline import until
from appliance.pull.box import KEY, MIB, Box, Origin, body_of, box, header_of

from sluice_appliance.pull.flash import FOLDER
from sluice_appliance.pull.memory import PASSING_MAX
from sluice_appliance.pull.puller import name_of
from sluice_appliance.store.blocks import block_digests
from sluice_appliance.store.store import Store

BODY = body_of(40 * MIB)
HOT = 3
Story = Callable[[Box, Origin], Awaitable[None]]


def told(
    folder: Path,
    story: Story,
    *,
    take_flash: Callable[[int], bool] = lambda size_bytes: True,
    **settings: int,
) -> None:
    async def run() -> None:
        origin = Origin({KEY: BODY})
        async with (
            origin.serving(),
            box(
                folder,
                take_flash=take_flash,
                **settings,  # type: ignore[arg-type]
            ) as served,
        ):
            served.titles.publish(KEY, BODY, origin)
            async with asyncio.timeout(60):
                await story(served, origin)

    asyncio.run(run())


async def read(served: Box, block: int) -> bytes:
    reply = await served.get(KEY, block * MIB, (block + 1) * MIB - 1)
    return await reply.body()


def files_of(folder: Path) -> list[Path]:
    return [path for path in (folder / "store" / FOLDER).glob("??/*") if path.is_file()]


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
        files = files_of(tmp_path)
        for path in files:
            path.write_bytes(bytes(MIB))
        asked = len(origin.asked)
        assert await read(served, HOT) == BODY[HOT * MIB : (HOT + 1) * MIB]
        assert len(origin.asked) == asked + 1
        assert served.count("pull_flash_errors_total") == 1
        await until(
            "it is written anew",
            lambda: any(
                path.read_bytes().startswith(BODY[HOT * MIB : (HOT + 1) * MIB]) for path in files
            ),
        )

    told(tmp_path, story, memory_bytes=2 * MIB, flash_bytes=8 * MIB)


def test_flash_never_has_more_than_it_may(tmp_path: Path) -> None:
    async def story(served: Box, origin: Origin) -> None:
        for _ in range(4):
            for block in range(16):
                await read(served, block)
        await until("some was written", lambda: served.count("pull_flash_bytes_total") > 0)
        files = files_of(tmp_path)
        assert sum(path.stat().st_size for path in files) <= 8 * (MIB + 600)

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


def test_a_box_that_starts_again_goes_on_with_what_flash_has_and_what_it_had_counted(
    tmp_path: Path,
) -> None:
    requests = 0.0

    async def before(served: Box, origin: Origin) -> None:
        nonlocal requests
        await heat(served)
        counts = {each.key: each.requests for each in served.pulls.cache.worth.counts(0.0)}
        requests = counts[name_of(KEY, HOT)]

    async def after(served: Box, origin: Origin) -> None:
        name = name_of(KEY, HOT)
        await until("it is known again", lambda: name in served.pulls.cache.flash)
        counts = {each.key: each.requests for each in served.pulls.cache.worth.counts(0.0)}
        assert counts[name] >= requests / 2 > 0
        assert await read(served, HOT) == BODY[HOT * MIB : (HOT + 1) * MIB]
        assert origin.asked == []

    told(tmp_path, before, memory_bytes=2 * MIB, flash_bytes=8 * MIB)
    told(tmp_path, after, memory_bytes=2 * MIB, flash_bytes=8 * MIB)


def test_of_more_than_flash_may_have_at_a_start_the_rest_is_deleted(tmp_path: Path) -> None:
    async def before(served: Box, origin: Origin) -> None:
        await heat(served)

    async def after(served: Box, origin: Origin) -> None:
        await until("it is gone", lambda: not files_of(tmp_path))

    told(tmp_path, before, memory_bytes=2 * MIB, flash_bytes=8 * MIB)
    assert files_of(tmp_path)
    told(tmp_path, after, memory_bytes=2 * MIB, flash_bytes=MIB // 2)


def test_files_that_are_no_block_and_counts_that_are_none_stop_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "store" / FOLDER
    left = [folder / "ab" / name for name in ("empty", "short", "other")]
    left[0].parent.mkdir(parents=True)
    for path, content in zip(left, (b"", b"x", b"film/v1/a#1\x0b\0"), strict=True):
        path.write_bytes(content)
    (folder / "remembered").write_bytes(b"\xc1 is nothing")

    async def story(served: Box, origin: Origin) -> None:
        await until("they are gone", lambda: not any(path.exists() for path in left))
        assert await read(served, HOT) == BODY[HOT * MIB : (HOT + 1) * MIB]

    told(tmp_path, story, flash_bytes=8 * MIB)


def test_what_misses_write_to_flash_comes_out_of_the_boxs_writes_of_the_day(tmp_path: Path) -> None:
    left_bytes = MIB

    def take_flash(size_bytes: int) -> bool:
        nonlocal left_bytes
        if size_bytes > left_bytes:
            return False
        left_bytes -= size_bytes
        return True

    async def story(served: Box, origin: Origin) -> None:
        for _ in range(4):
            for block in range(16):
                assert await read(served, block) == BODY[block * MIB : (block + 1) * MIB]
        await until("what it may", lambda: served.count("pull_flash_bytes_total") == MIB)
        # It had writes of its own left: the day had none.
        assert served.pulls.cache.budget.refused_bytes >= MIB
        assert len(files_of(tmp_path)) == 1
        assert left_bytes == 0

    told(tmp_path, story, take_flash=take_flash, memory_bytes=2 * MIB, flash_bytes=8 * MIB)
