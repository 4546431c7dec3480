"""An object that comes in blocks: in any order, from several sources, across restarts."""

import hashlib
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice_appliance.object_key import parse_key
from sluice_appliance.store.assembly import Assembly, Span
from sluice_appliance.store.blocks import block_digest, block_digests
from sluice_appliance.store.errors import (
    BlockMismatch,
    DigestMismatch,
    Incomplete,
    NotInOrder,
    TooManyBytes,
)
from sluice_appliance.store.layout import (
    BLOCK_BYTES,
    BODY_OFFSET,
    LayoutError,
    block_count,
    object_path,
)
from sluice_appliance.store.partial import PartialObject
from sluice_appliance.store.reading import open_object
from sluice_appliance.store.store import Store

KEY = parse_key("film/v1/a.mp4")
BODY = random.Random(4).randbytes(3 * BLOCK_BYTES + 777)
SHA256 = hashlib.sha256(BODY).digest()
DIGESTS = block_digests(BODY)
BLOCKS = 4


def begin(
    store: Store, *, digests: bytes | None = DIGESTS, sha256: bytes = SHA256
) -> PartialObject:
    return store.begin(KEY, len(BODY), sha256, "video/mp4", block_digests=digests)


def block(number: int) -> Span:
    return Span(number * BLOCK_BYTES, min(len(BODY), (number + 1) * BLOCK_BYTES))


def put(partial: PartialObject, span: Span) -> None:
    partial.write_at(span.start, BODY[span.start : span.end])


def is_whole(root: Path) -> bool:
    with open_object(object_path(str(root), KEY)) as there:
        return there.read(0, len(BODY)) == BODY and there.block_digests == DIGESTS


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)])
def test_blocks_come_in_any_order(tmp_path: Path, order: tuple[int, ...]) -> None:
    with Store.open(tmp_path) as store:
        partial = begin(store)
        for number in order:
            put(partial, block(number))
        assert partial.missing() == ()
        partial.publish()
    assert is_whole(tmp_path)


def test_what_is_missing_is_told_in_spans_that_can_be_fetched_each_by_itself(
    tmp_path: Path,
) -> None:
    with Store.open(tmp_path) as store:
        partial = begin(store)
        assert partial.missing() == (Span(0, len(BODY)),)
        put(partial, block(1))
        put(partial, Span(3 * BLOCK_BYTES, 3 * BLOCK_BYTES + 100))
        assert partial.missing() == (
            block(0),
            Span(2 * BLOCK_BYTES, 3 * BLOCK_BYTES),
            Span(3 * BLOCK_BYTES + 100, len(BODY)),
        )
        with pytest.raises(Incomplete):
            partial.publish()
        for span in partial.missing():
            put(partial, span)
        partial.publish()
    assert is_whole(tmp_path)


def test_blocks_that_are_here_are_found_again_after_a_restart_and_a_rotten_one_is_not(
    tmp_path: Path,
) -> None:
    with Store.open(tmp_path) as store:
        partial = begin(store)
        for number in (3, 1, 0):
            put(partial, block(number))
        put(partial, Span(2 * BLOCK_BYTES, 2 * BLOCK_BYTES + 5000))
        partial.close()
    [file] = (tmp_path / "partial").iterdir()
    with file.open("r+b") as rotting:
        rotting.seek(BODY_OFFSET + BLOCK_BYTES + 9)
        rotting.write(b"rot")
    with Store.open(tmp_path) as store:
        # The digests are in the file: who goes on need not know them.
        partial = begin(store, digests=None)
        assert partial.missing() == (Span(BLOCK_BYTES, 3 * BLOCK_BYTES),)
        put(partial, block(1))
        put(partial, block(2))
        partial.publish()
    assert is_whole(tmp_path)


def test_a_block_that_is_not_the_objects_is_missing_as_before_and_nothing_else_is(
    tmp_path: Path,
) -> None:
    with Store.open(tmp_path) as store:
        partial = begin(store)
        put(partial, block(0))
        with pytest.raises(BlockMismatch, match="block 1"):
            partial.write_at(BLOCK_BYTES, bytes(BLOCK_BYTES))
        assert partial.missing() == (Span(BLOCK_BYTES, len(BODY)),)
        for span in partial.missing():
            put(partial, span)
        partial.publish()
    assert is_whole(tmp_path)


def test_a_stream_that_lies_in_its_second_block_keeps_the_first(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        partial = begin(store)
        partial.write(BODY[:BLOCK_BYTES])
        with pytest.raises(BlockMismatch):
            partial.write(bytes(2 * BLOCK_BYTES))
        assert partial.received_bytes == BLOCK_BYTES
        partial.write(BODY[BLOCK_BYTES:])
        partial.publish()
    assert is_whole(tmp_path)


def test_what_is_here_already_may_come_again_and_is_passed_over(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        partial = begin(store)
        put(partial, block(1))
        partial.write_at(0, BODY)
        partial.write_at(0, bytes(len(BODY)))
        partial.publish()
    assert is_whole(tmp_path)


def test_bytes_that_do_not_go_on_where_their_block_stands_are_refused(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        partial = begin(store)
        with pytest.raises(NotInOrder, match="bytes from 10 came where 0 was to come next"):
            partial.write_at(10, b"x")
        with pytest.raises(TooManyBytes):
            partial.write_at(len(BODY) - 1, b"xy")
        partial.close()


def test_without_digests_bytes_come_in_order_or_not_at_all(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        partial = begin(store, digests=None)
        with pytest.raises(NotInOrder):
            put(partial, block(1))
        partial.write(BODY)
        partial.publish()
    assert is_whole(tmp_path)


def test_digests_that_come_late_tell_what_of_a_prefix_is_right(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        partial = begin(store, digests=None)
        partial.write(BODY[:BLOCK_BYTES] + bytes(BLOCK_BYTES) + BODY[2 * BLOCK_BYTES :][:10])
        partial.close()
        partial = begin(store)
        assert partial.missing() == (Span(BLOCK_BYTES, len(BODY)),)
        partial.write(BODY[BLOCK_BYTES:])
        partial.publish()
    assert is_whole(tmp_path)


def test_digests_of_blocks_that_are_not_the_objects_never_make_an_object(tmp_path: Path) -> None:
    other = bytes(len(BODY))
    with Store.open(tmp_path) as store:
        partial = begin(store, digests=block_digests(other))
        partial.write(other)
        with pytest.raises(DigestMismatch):
            partial.publish()
        partial.discard()
        with pytest.raises(LayoutError, match="block digests have 5 bytes, expected 64"):
            begin(store, digests=b"short")


@settings(max_examples=60)
@given(st.integers(0, 3 * BLOCK_BYTES), st.data())
def test_whatever_the_pieces_the_digests_are_those_of_the_body(
    size: int, data: st.DataObject
) -> None:
    body = bytes(size)
    cuts = data.draw(st.lists(st.integers(0, size), max_size=6).map(sorted))
    assembly = Assembly(size, None)
    for start, end in zip([0, *cuts], [*cuts, size], strict=True):
        while start < end:
            number = start // BLOCK_BYTES
            until = min(end, (number + 1) * BLOCK_BYTES)
            assembly.take(number, start, body[start:until])
            start = until
    assert assembly.missing() == ()
    assert assembly.digests == block_digests(body)


@settings(max_examples=40)
@given(
    st.integers(0, 777),
    st.lists(st.sampled_from([0, 0, 1, 100, BLOCK_BYTES]), max_size=12),
)
def test_what_is_missing_is_all_that_is_not_here_in_as_few_spans_as_there_are(
    last_bytes: int, here_bytes: list[int]
) -> None:
    """`here_bytes`: how much is here of each block but the last."""
    size = len(here_bytes) * BLOCK_BYTES + last_bytes
    assembly = Assembly(size, None)
    expected: list[Span] = []
    for number, here in enumerate([*here_bytes, 0][: block_count(size)]):
        start = number * BLOCK_BYTES
        end = min(size, start + BLOCK_BYTES)
        # Of one of which nothing came something may have begun to.
        assembly.take(number, start, bytes(here))
        if start + here >= end:
            continue
        if expected and here == 0 and expected[-1].end == start:
            start = expected.pop().start
        expected.append(Span(start + here, end))
    assert assembly.missing() == tuple(expected)


def test_a_blocks_digest_is_the_first_16_bytes_of_its_blake3() -> None:
    # The BLAKE3 of nothing, from its specification.
    assert block_digest(b"").hex() == "af1349b9f5f9a1a6a0404dea36dcc949"
