"""What users of other caches complain of, as far as it is about what is fetched while a client waits.

Numbers and links are those of the list of complaints that Sluice answers, one by one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from appliance.deadline import until
from appliance.pull.box import KEY, MIB, Box, Origin, body_of, box

from sluice_appliance.pull.puller import name_of
from sluice_appliance.pull.wants import PIECE_BLOCKS

LARGE = body_of(40 * MIB + 3)
Story = Callable[[Box, Origin], Awaitable[None]]


def told(folder: Path, story: Story, *, body: bytes = LARGE, **settings: int) -> None:
    """A box that pulls one object from one source, for as long as the story lasts."""

    async def run() -> None:
        origin = Origin({KEY: body})
        async with origin.serving(), box(folder, **settings) as served:  # type: ignore[arg-type]
            served.titles.publish(KEY, body, origin)
            async with asyncio.timeout(60):
                await story(served, origin)

    asyncio.run(run())


def test_complaint_11_a_big_range_for_a_client_that_reads_nothing_takes_no_memory(
    tmp_path: Path,
) -> None:
    """apache/trafficserver#7179: the slice plugin eats all RAM on big range requests."""

    async def story(served: Box, origin: Origin) -> None:
        reply = await served.get(KEY, 0, len(LARGE) - 1)
        ahead = 2 * PIECE_BLOCKS * MIB
        for _ in range(20):
            await asyncio.sleep(0.05)
            assert origin.sent_bytes <= ahead, "more came than a client can use soon"
            assert served.pulls.puller.blocks_in_memory <= 2 * PIECE_BLOCKS
        assert origin.sent_bytes > 0
        assert await reply.body() == LARGE

    told(tmp_path, story)


def test_complaint_12_a_range_longer_than_one_block_comes_whole(tmp_path: Path) -> None:
    """apache/trafficserver#8481: slice returns only the first 1 MB block."""

    async def story(served: Box, origin: Origin) -> None:
        for first, last in ((0, 5 * MIB - 1), (17, 3 * MIB + 1), (7 * MIB - 1, 20 * MIB)):
            reply = await served.get(KEY, first, last)
            assert (reply.status, reply.length) == (206, last - first + 1)
            assert await reply.body() == LARGE[first : last + 1]
        assert await (await served.get(KEY)).body() == LARGE

    told(tmp_path, story)


def test_complaint_13_ranges_read_while_they_come_are_not_cut_short(tmp_path: Path) -> None:
    """apache/trafficserver#3991: read-while-write truncates ranges."""

    async def story(served: Box, origin: Origin) -> None:
        origin.held_from = 3 * MIB + 100_000
        whole = await served.get(KEY, 0, 6 * MIB)
        await whole.some(MIB)
        ranges = [(MIB - 7, 4 * MIB + 9), (0, 5 * MIB), (3 * MIB - 1, 6 * MIB), (2 * MIB, 3 * MIB)]
        asked = [await served.ask(KEY, f"Range: bytes={a}-{b}") for a, b in ranges]
        await until("the source holds back", lambda: origin.sent_bytes >= 3 * MIB)
        origin.gate.set()
        for (first, last), reply in zip(ranges, asked, strict=True):
            await reply.head()
            assert (reply.length, await reply.body()) == (last - first + 1, LARGE[first : last + 1])
        assert await whole.some(5 * MIB + 1) == LARGE[MIB : 6 * MIB + 1]

    told(tmp_path, story)


def test_complaint_14_asking_again_or_whether_it_changed_asks_no_source_for_any_block(
    tmp_path: Path,
) -> None:
    """apache/trafficserver#12047, #12092: a 304 refresh doubles the I/O of each slice."""

    async def story(served: Box, origin: Origin) -> None:
        reply = await served.get(KEY, 0, 4 * MIB - 1)
        assert await reply.body() == LARGE[: 4 * MIB]
        asked, sent = len(origin.asked), origin.sent_bytes
        again = await served.get(KEY, 0, 4 * MIB - 1)
        assert await again.body() == LARGE[: 4 * MIB]
        same = await (await served.ask(KEY, f"If-None-Match: {reply.fields['ETag']}")).head()
        assert same.status == 304
        assert (len(origin.asked), origin.sent_bytes) == (asked, sent)

    told(tmp_path, story)


def test_complaint_15_range_requests_count_for_what_flash_is_to_have(tmp_path: Path) -> None:
    """apache/trafficserver#1694: admission must count range requests; #2662: ranges as objects."""

    async def story(served: Box, origin: Origin) -> None:
        for number in range(12):
            # Another range each time, and one block.
            first = 5 * MIB + number * 1000
            reply = await served.get(KEY, first, first + 99)
            assert await reply.body() == LARGE[first : first + 100]
        await until("it is on flash", lambda: served.count("pull_flash_bytes_total") == MIB)
        assert name_of(KEY, 5) in served.pulls.cache.flash
        assert origin.asked == [(KEY, 5 * MIB, 6 * MIB)]

    told(tmp_path, story, flash_bytes=8 * MIB)


def test_complaint_17_a_second_client_reads_what_the_first_is_still_being_sent(
    tmp_path: Path,
) -> None:
    """nginx/nginx#237: a second client cannot read an object that is still being cached (LL-DASH)."""

    async def story(served: Box, origin: Origin) -> None:
        origin.held_from = 2 * MIB
        first = await served.get(KEY)
        assert await first.some(2 * MIB) == LARGE[: 2 * MIB]
        second = await served.get(KEY)
        assert await second.some(2 * MIB) == LARGE[: 2 * MIB]
        assert not origin.gate.is_set()

    told(tmp_path, story)


def test_complaint_18_a_client_that_leaves_is_not_fetched_for_to_the_end(tmp_path: Path) -> None:
    """nginx/nginx#911: slice with background_update fetches the whole 10 GB file."""

    async def story(served: Box, origin: Origin) -> None:
        origin.held_from = 2 * MIB + 100_000
        reply = await served.get(KEY)
        await reply.some(2 * MIB)
        await reply.leave()
        await until("the box knows", lambda: served.count("broken_off_total") == 1)
        origin.gate.set()
        await until("the pull ends", lambda: served.count("pulls_abandoned_total") >= 1)
        await until("nothing is under way", lambda: not served.pulls.puller.pulls_under_way)
        # The block that was under way, and what the source had sent before it was let go of.
        assert 3 <= served.pulls.puller.blocks_in_memory <= 4
        assert served.count("pull_bytes_total") < PIECE_BLOCKS * MIB
        assert len(origin.asked) <= 2

    told(tmp_path, story)


@pytest.mark.parametrize("edge", [MIB, 2 * MIB, 8 * MIB, len(LARGE)])
def test_complaint_19_a_range_that_ends_at_the_edge_of_a_block_is_whole(
    tmp_path: Path, edge: int
) -> None:
    """nginx/nginx#1065: slice truncates at a boundary."""

    async def story(served: Box, origin: Origin) -> None:
        for first, end in ((edge - 2, edge - 1), (edge - 1, edge), (edge - MIB, edge), (0, edge)):
            reply = await served.get(KEY, first, end - 1)
            assert (reply.length, await reply.body()) == (end - first, LARGE[first:end])
        if edge < len(LARGE):
            across = await served.get(KEY, edge - 1, edge)
            assert await across.body() == LARGE[edge - 1 : edge + 1]

    told(tmp_path, story)


def test_complaint_the_first_range_of_a_big_file_does_not_download_everything(
    tmp_path: Path,
) -> None:
    """nginxinc/nginx-s3-gateway#188, zulip/zulip#34260."""

    async def story(served: Box, origin: Origin) -> None:
        reply = await served.get(KEY, 0, 0)
        assert await reply.body() == LARGE[:1]
        assert origin.asked == [(KEY, 0, MIB)]
        assert served.count("pull_bytes_total") == MIB

    told(tmp_path, story)
