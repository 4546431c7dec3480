"""What the control plane says of single objects, and how long that is believed."""

import asyncio

import pytest
from appliance.pull.box import KEY, Titles, body_of
from google.protobuf.duration_pb2 import Duration

from sluice.fill.v1 import fill_pb2
from sluice_appliance.fill.source_book import SOURCES_MAX, SourcesUnknown
from sluice_appliance.pull.catalog import REMEMBERED_MAX, Catalog, located_from_wire
from sluice_appliance.store.blocks import block_digests

BODY = body_of(1000)


def answer(
    key: str = KEY, sha256: bytes = bytes(32), **more: object
) -> fill_pb2.LookUpObjectResponse:
    return fill_pb2.LookUpObjectResponse(
        object=fill_pb2.FillObject(
            key=key, size_bytes=len(BODY), sha256=sha256, content_type="video/mp4"
        ),
        **more,  # type: ignore[arg-type]
    )


def test_an_answer_without_digests_of_blocks_has_none_and_waits_are_left_aside() -> None:
    wire = answer(
        sources=[
            fill_pb2.FillSource(
                source_id=str(number), base_url="http://a/", wait=Duration(seconds=60)
            )
            for number in range(20)
        ]
    )
    found = located_from_wire(KEY, wire)
    assert found.block_digests is None
    assert len(found.sources) == SOURCES_MAX
    assert not found.by_block
    assert located_from_wire(KEY, answer(block_digests=block_digests(BODY))).by_block


@pytest.mark.parametrize(
    "wire",
    [answer("other/v1/a.mp4"), answer("../a"), answer(sha256=b"short")],
    ids=["another", "no key", "no digest"],
)
def test_an_answer_that_tells_of_no_such_object_is_as_good_as_none(
    wire: fill_pb2.LookUpObjectResponse,
) -> None:
    with pytest.raises(SourcesUnknown, match="LookUpObject of"):
        located_from_wire(KEY, wire)


def test_of_too_many_objects_the_one_longest_not_asked_for_is_forgotten() -> None:
    async def story() -> None:
        catalog, titles = Catalog(), Titles()
        catalog.joined(titles)
        keys = [f"film/v1/{number}.mp4" for number in range(REMEMBERED_MAX + 1)]
        for key in keys[:-1]:
            titles.publish(key, b"")
            assert await catalog.find(key) is not None
        # A long response goes on with it.
        assert catalog.known(keys[0]) is not None
        titles.publish(keys[-1], b"")
        await catalog.find(keys[-1])
        assert catalog.known(keys[0]) is not None
        assert catalog.known(keys[1]) is None

    asyncio.run(story())


def test_a_title_that_was_taken_back_is_known_no_more() -> None:
    async def story() -> None:
        catalog, titles = Catalog(), Titles()
        catalog.joined(titles)
        titles.publish(KEY, BODY)
        assert await catalog.find(KEY) is not None
        del titles.objects[KEY]
        assert await catalog.find(KEY) is None
        assert catalog.known(KEY) is None

    asyncio.run(story())
