"""What a client gets of an object that its box does not hold, and what that asks of sources."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from appliance.deadline import until
from appliance.pull.box import KEY, MIB, Box, Origin, body_of, box
from appliance.serving.serve_process import put_object
from appliance.serving.slow_disk import evict
from appliance.serving.test_tls import make_certificate

from sluice_appliance.fill.pressure import Load
from sluice_appliance.pull.verifying import WHOLE_BYTES_MAX
from sluice_appliance.store.layout import BODY_OFFSET, object_path, parse_key

BODY = body_of(3 * MIB + 17)
Story = Callable[[Box, Origin], Awaitable[None]]


def told(
    folder: Path, story: Story, *, body: bytes = BODY, digests: bool = True, **settings: object
) -> None:
    """A box and one source of one object, for as long as the story lasts."""

    async def run() -> None:
        origin = Origin({KEY: body})
        async with origin.serving(), box(folder, **settings) as served:  # type: ignore[arg-type]
            served.titles.publish(KEY, body, origin, digests=digests)
            async with asyncio.timeout(60):
                await story(served, origin)

    asyncio.run(run())


def test_an_object_that_is_not_held_comes_whole_from_a_source(tmp_path: Path) -> None:
    async def story(served: Box, origin: Origin) -> None:
        reply = await served.get(KEY)
        assert (reply.status, await reply.body()) == (200, BODY)
        assert reply.fields["Cache-Status"] == "box-1; fwd=miss; detail=fill"
        assert reply.fields["Server-Timing"].startswith("fill;dur=")
        assert origin.asked == [(KEY, 0, len(BODY))]
        again = await served.get(KEY)
        assert await again.body() == BODY
        assert again.fields["Cache-Status"] == "box-1; hit"
        assert len(origin.asked) == 1
        assert served.count("bodies_total", **{"from": "pull"}) == 1

    told(tmp_path, story)


def test_the_first_block_goes_out_while_the_second_is_still_to_come(tmp_path: Path) -> None:
    async def story(served: Box, origin: Origin) -> None:
        origin.held_from = MIB
        reply = await served.get(KEY)
        assert await reply.some(MIB) == BODY[:MIB]
        assert not origin.gate.is_set()
        origin.gate.set()
        assert await reply.some(len(BODY) - MIB) == BODY[MIB:]

    told(tmp_path, story)


def test_every_client_may_read_what_is_being_pulled(tmp_path: Path) -> None:
    async def story(served: Box, origin: Origin) -> None:
        origin.held_from = 2 * MIB
        first = await served.get(KEY)
        await first.some(2 * MIB)
        second = await served.get(KEY)
        assert await second.some(2 * MIB) == BODY[: 2 * MIB]
        origin.gate.set()
        assert await first.some(MIB) == await second.some(MIB) == BODY[2 * MIB : 3 * MIB]
        assert len(origin.asked) == 1

    told(tmp_path, story)


def test_thirty_two_clients_of_one_range_make_one_request_upstream(tmp_path: Path) -> None:
    async def story(served: Box, origin: Origin) -> None:
        origin.held_from = 0
        asked = [await served.ask(KEY, f"Range: bytes=100-{2 * MIB}") for _ in range(32)]
        await until("the source is asked", lambda: origin.asked)
        origin.gate.set()
        for reply in asked:
            assert (await reply.head()).status == 206
            assert await reply.body() == BODY[100 : 2 * MIB + 1]
        assert origin.asked == [(KEY, 0, 3 * MIB)]
        assert served.count("pull_requests_total") == 1
        assert served.titles.asked == [KEY]

    told(tmp_path, story)


def test_one_byte_of_a_large_object_pulls_one_block(tmp_path: Path) -> None:
    body = body_of(20 * MIB)

    async def story(served: Box, origin: Origin) -> None:
        at = 13 * MIB + 5
        reply = await served.get(KEY, at, at)
        assert (reply.status, await reply.body()) == (206, body[at : at + 1])
        assert reply.fields["Content-Range"] == f"bytes {at}-{at}/{len(body)}"
        assert origin.asked == [(KEY, 13 * MIB, 14 * MIB)]
        assert origin.sent_bytes == served.count("pull_bytes_total") == MIB
        assert served.pulls.puller.blocks_in_memory == 1

    told(tmp_path, story, body=body)


def test_heads_conditions_and_ranges_that_cannot_be_ask_no_source_for_a_byte(
    tmp_path: Path,
) -> None:
    async def story(served: Box, origin: Origin) -> None:
        head = await (await served.ask(KEY, method="HEAD")).head()
        assert (head.status, head.length) == (200, len(BODY))
        etag = head.fields["ETag"]
        same = await (await served.ask(KEY, f"If-None-Match: {etag}")).head()
        other = await (await served.ask(KEY, 'If-Match: "other"')).head()
        beyond = await served.get(KEY, len(BODY))
        assert [same.status, other.status, beyond.status] == [304, 412, 416]
        assert origin.asked == []
        assert len(served.titles.asked) == 1

    told(tmp_path, story)


def test_several_ranges_come_as_parts_in_any_order(tmp_path: Path) -> None:
    async def story(served: Box, origin: Origin) -> None:
        ranges = f"Range: bytes={3 * MIB}-{3 * MIB + 3},0-3,{MIB - 2}-{MIB + 1}"
        reply = await (await served.ask(KEY, ranges)).head()
        body = await reply.body()
        assert reply.status == 206
        for first, end in ((3 * MIB, 3 * MIB + 4), (0, 4), (MIB - 2, MIB + 2)):
            assert BODY[first:end] in body

    told(tmp_path, story)


def test_what_no_title_has_is_404_and_asked_for_once_a_second(tmp_path: Path) -> None:
    async def story(served: Box, origin: Origin) -> None:
        for _ in range(5):
            reply = await served.get("film/v1/none.mp4")
            assert reply.status == 404
            assert reply.fields["Cache-Status"] == "box-1; detail=absent"
        assert served.titles.asked == ["film/v1/none.mp4"]
        assert served.count("absent_objects_total") == 5
        served.titles.publish("film/v1/none.mp4", BODY, origin)
        origin.bodies["film/v1/none.mp4"] = BODY

        async def comes() -> bool:
            return (await served.get("film/v1/none.mp4", 0, 9)).status == 206

        for _ in range(300):
            if await comes():
                return
            await asyncio.sleep(0.01)
        pytest.fail("the failure was believed for more than 3 s")

    told(tmp_path, story)


def test_a_box_that_has_not_joined_answers_404_as_before(tmp_path: Path) -> None:
    async def story(served: Box, origin: Origin) -> None:
        assert (await served.get(KEY)).status == 404
        assert origin.asked == []

    told(tmp_path, story, joined=False)


def test_while_the_control_plane_is_gone_its_last_answer_counts(tmp_path: Path) -> None:
    async def story(served: Box, origin: Origin) -> None:
        assert await (await served.get(KEY, 0, 9)).body() == BODY[:10]
        served.titles.gone = True
        reply = await served.get(KEY, 2 * MIB, 2 * MIB + 9)
        assert await reply.body() == BODY[2 * MIB : 2 * MIB + 10]
        assert (await served.get("film/v1/other.mp4")).status == 404

    told(tmp_path, story)


def test_when_every_source_fails_the_client_is_told_to_come_again(tmp_path: Path) -> None:
    async def story(served: Box, origin: Origin) -> None:
        origin.down = True
        reply = await served.get(KEY)
        assert reply.status == 503
        assert int(reply.fields["Retry-After"]) >= 1
        assert reply.fields["Cache-Status"] == "box-1; fwd=miss; detail=unreachable"
        assert (await served.get(KEY)).status == 503
        # The second within a second asked nobody.
        assert len(origin.asked) == 1
        assert served.count("misses_unserved_total", reason="unavailable") == 2

    told(tmp_path, story)


def test_a_source_that_dies_in_mid_body_breaks_the_response_and_nothing_of_the_block_stays(
    tmp_path: Path,
) -> None:
    async def story(served: Box, origin: Origin) -> None:
        origin.cut_at = 2 * MIB + 200_000
        reply = await served.get(KEY)
        assert (reply.status, reply.length) == (200, len(BODY))
        with pytest.raises(asyncio.IncompleteReadError) as broken:
            await reply.body()
        assert broken.value.partial == BODY[: 2 * MIB]
        assert served.pulls.puller.blocks_in_memory == 2
        await until("it is counted", lambda: served.count("pulls_broken_total") == 1)
        origin.cut_at = None
        for _ in range(300):
            again = await served.get(KEY, 2 * MIB)
            if again.status == 206:
                assert await again.body() == BODY[2 * MIB :]
                return
            assert again.status == 503
            await asyncio.sleep(0.01)
        pytest.fail("a source that is back is not asked")

    told(tmp_path, story)


def test_a_second_source_goes_on_where_the_first_one_ended(tmp_path: Path) -> None:
    async def run() -> None:
        first, second = Origin({KEY: BODY}), Origin({KEY: BODY})
        first.cut_at = MIB + 70_000
        async with first.serving(), second.serving(), box(tmp_path) as served:
            served.titles.publish(KEY, BODY, first, second)
            reply = await served.get(KEY)
            assert await reply.body() == BODY
            assert [asked[1] for asked in (*first.asked, *second.asked)] == [0, MIB]

    asyncio.run(run())


@pytest.mark.parametrize("digests", [True, False])
def test_a_source_that_lies_is_never_shown_to_a_client(tmp_path: Path, digests: bool) -> None:
    async def run() -> None:
        liar, honest = Origin({KEY: BODY}), Origin({KEY: BODY})
        liar.wrong = True
        async with liar.serving(), honest.serving(), box(tmp_path) as served:
            served.titles.publish(KEY, BODY, liar, honest, digests=digests)
            reply = await served.get(KEY, 5, 2 * MIB)
            assert await reply.body() == BODY[5 : 2 * MIB + 1]
            labels = {"kind": "digest_mismatch", "source": "origin"}
            assert served.count("fill_source_faults_total", **labels) == 1

    asyncio.run(run())


def test_without_digests_of_blocks_nothing_is_shown_before_all_of_it_is_right(
    tmp_path: Path,
) -> None:
    async def story(served: Box, origin: Origin) -> None:
        origin.held_from = 3 * MIB
        reply = await served.ask(KEY, "Range: bytes=0-9")
        await until("nearly all came", lambda: origin.sent_bytes > 2 * MIB)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await asyncio.shield(served_head := asyncio.ensure_future(reply.head()))
        origin.gate.set()
        assert (await served_head).status == 206
        assert await reply.body() == BODY[:10]

    told(tmp_path, story, digests=False)


def test_a_large_object_without_digests_of_blocks_is_not_pulled(tmp_path: Path) -> None:
    async def story(served: Box, origin: Origin) -> None:
        assert (await served.get(KEY, 0, 0)).status == 404
        assert origin.asked == []

    told(tmp_path, story, body=body_of(WHOLE_BYTES_MAX + 1), digests=False)


def test_what_another_box_asks_for_is_not_asked_of_a_third(tmp_path: Path) -> None:
    async def story(served: Box, origin: Origin) -> None:
        reply = await (await served.ask(KEY, "CDN-Loop: box-2")).head()
        assert reply.status == 404
        assert origin.asked == []
        assert await (await served.get(KEY, 0, 1)).body() == BODY[:2]
        assert origin.loops == ["box-1"]

    told(tmp_path, story)


def test_while_a_long_response_lasts_it_is_looked_up_again_and_sources_may_move(
    tmp_path: Path,
) -> None:
    # Far more than fits between a worker and its client.
    body = body_of(48 * MIB)

    async def run() -> None:
        first, second = Origin({KEY: body}), Origin({KEY: body})
        async with first.serving(), second.serving(), box(tmp_path) as served:
            served.titles.publish(KEY, body, first)
            reply = await served.get(KEY)
            assert await reply.some(MIB) == body[:MIB]
            served.titles.publish(KEY, body, second)
            # As if it was said long ago.
            catalog = served.pulls.catalog
            catalog._known[KEY] = -1e9, catalog._known[KEY][1]
            assert await reply.some(47 * MIB) == body[MIB:]
            assert served.titles.asked == [KEY, KEY]
            assert second.asked

    asyncio.run(run())


def test_over_tls_it_comes_the_same(tmp_path: Path) -> None:
    async def story(served: Box, origin: Origin) -> None:
        assert await (await served.get(KEY)).body() == BODY
        again = await served.get(KEY, MIB - 5, 3 * MIB)
        assert await again.body() == BODY[MIB - 5 : 3 * MIB + 1]
        assert len(origin.asked) == 1

    told(tmp_path, story, tls=make_certificate(tmp_path))


def test_what_the_store_holds_asks_nobody(tmp_path: Path) -> None:
    put_object(tmp_path / "store", KEY, BODY)

    async def story(served: Box, origin: Origin) -> None:
        reply = await served.get(KEY)
        assert await reply.body() == BODY
        assert (origin.asked, served.titles.asked) == ([], [])

    told(tmp_path, story)


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("damaged_at", [0, BODY_OFFSET + len(BODY) - 1])
def test_what_the_store_holds_and_its_disk_does_not_give_comes_from_a_source(
    tmp_path: Path, damaged_at: int, in_memory: bool
) -> None:
    """Cut short, or with a header that is none."""
    put_object(tmp_path / "store", KEY, BODY)
    path = Path(object_path(str(tmp_path / "store"), parse_key(KEY)))
    if damaged_at:
        os.truncate(path, damaged_at)
    else:
        with path.open("r+b") as file:
            file.write(bytes(BODY_OFFSET))
    if not in_memory:
        evict(path)

    async def story(served: Box, origin: Origin) -> None:
        reply = await served.get(KEY)
        assert await reply.body() == BODY
        assert served.titles.asked == [KEY]
        assert served.count("spoilt_copies_total") == 1

    told(tmp_path, story)


def test_what_another_box_asks_for_is_503_where_its_disk_does_not_give_it(tmp_path: Path) -> None:
    put_object(tmp_path / "store", KEY, BODY)
    os.truncate(object_path(str(tmp_path / "store"), parse_key(KEY)), BODY_OFFSET + 1)

    async def story(served: Box, origin: Origin) -> None:
        reply = await (await served.ask(KEY, "CDN-Loop: box-2")).head()
        assert reply.status == 503
        assert (origin.asked, served.titles.asked) == ([], [])

    told(tmp_path, story)


def test_while_players_need_the_box_for_what_it_holds_misses_go_elsewhere_first(
    tmp_path: Path,
) -> None:
    async def story(served: Box, origin: Origin) -> None:
        reply = await served.get(KEY, 0, 0)
        for block in range(1, 300):
            # Another block each time: what came before is there.
            reply = await served.get(KEY, block * MIB, block * MIB)
            if reply.status == 503:
                break
            await asyncio.sleep(0.01)
        assert reply.fields["Cache-Status"] == "box-1; detail=shed"
        assert served.count("pulls_refused_total", bound="pressure") >= 1
        assert (await served.get(KEY, 0, 0)).status == 206

    told(tmp_path, story, body=body_of(MIB) * 300, load=Load(shed=5))


def test_memory_never_holds_more_than_it_may_and_a_small_one_still_serves(tmp_path: Path) -> None:
    body = body_of(60 * MIB)

    async def story(served: Box, origin: Origin) -> None:
        reply = await served.get(KEY)
        at = 0
        while at < len(body):
            assert await reply.some(MIB) == body[at : at + MIB]
            at += MIB
            assert served.pulls.puller.blocks_in_memory <= 16 + 32
        assert origin.sent_bytes == len(body)

    told(tmp_path, story, body=body, memory_bytes=16 * MIB)
