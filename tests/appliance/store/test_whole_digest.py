"""The digest of an object goes on while its blocks come, in any order and by several threads."""

import hashlib
import random
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice_appliance.object_key import parse_key
from sluice_appliance.store.blocks import block_digests
from sluice_appliance.store.errors import BlockMismatch
from sluice_appliance.store.layout import BLOCK_BYTES, object_path
from sluice_appliance.store.reading import open_object
from sluice_appliance.store.store import Store
from sluice_appliance.store.whole_digest import WholeDigest

BLOCKS = 40
BODY = random.Random(5).randbytes(BLOCKS * BLOCK_BYTES - 321)
SHA256 = hashlib.sha256(BODY).digest()
DIGESTS = block_digests(BODY)
KEY = parse_key("film/v1/a.mp4")


def read(start: int, size_bytes: int) -> bytes:
    return BODY[start : start + size_bytes]


@settings(max_examples=30)
@given(st.permutations(range(6)))
def test_in_whatever_order_blocks_come_the_digest_stands_at_the_first_that_is_missing(
    order: Sequence[int],
) -> None:
    size = 5 * BLOCK_BYTES + 17
    body = BODY[:size]
    whole, here, reads = WholeDigest(size), set[int](), list[int]()

    def counted(start: int, size_bytes: int) -> bytes:
        reads.append(start // BLOCK_BYTES)
        return body[start : start + size_bytes]

    for block in order:
        here.add(block)
        gap = next(n for n in range(7) if n not in here)
        whole.hash_on(lambda gap=gap: min(size, gap * BLOCK_BYTES), counted)  # type: ignore[misc]
        assert reads == list(range(gap))
    whole.hash_rest(counted)
    assert reads == list(range(6))
    assert whole.sha256() == hashlib.sha256(body).digest()


def test_a_thread_that_finds_another_hashing_returns_and_its_block_is_hashed_by_that_one() -> None:
    whole, here = WholeDigest(len(BODY)), [BLOCK_BYTES]
    begun, go_on = threading.Event(), threading.Event()
    read_blocks: list[int] = []

    def slow(start: int, size_bytes: int) -> bytes:
        read_blocks.append(start // BLOCK_BYTES)
        begun.set()
        assert go_on.wait(10)
        return read(start, size_bytes)

    with ThreadPoolExecutor() as threads:
        first = threads.submit(whole.hash_on, lambda: here[0], slow)
        assert begun.wait(10)
        here[0] = 3 * BLOCK_BYTES
        threads.submit(whole.hash_on, lambda: here[0], slow).result(10)
        assert read_blocks == [0]
        go_on.set()
        first.result(10)
    assert read_blocks == [0, 1, 2]


def test_writers_wait_where_the_digest_is_far_behind_and_go_on_when_it_is_not() -> None:
    blocks = 60
    whole, here = WholeDigest(blocks * BLOCK_BYTES), [BLOCK_BYTES]
    begun, asked, may_read = threading.Event(), threading.Event(), threading.Semaphore(0)
    read_blocks: list[int] = []

    def slow(start: int, size_bytes: int) -> bytes:
        read_blocks.append(start // BLOCK_BYTES)
        begun.set()
        assert may_read.acquire(timeout=10)
        return b""

    def others() -> int:
        asked.set()
        return here[0]

    with ThreadPoolExecutor() as threads:
        first = threads.submit(whole.hash_on, lambda: here[0], slow)
        assert begun.wait(10)
        here[0] = blocks * BLOCK_BYTES
        second = threads.submit(whole.hash_on, others, slow)
        assert asked.wait(10)
        with pytest.raises(TimeoutError):
            second.result(0.1)
        may_read.release(blocks)
        first.result(10)
        second.result(10)
    # Neither hashes for ever, and together they leave little.
    assert read_blocks == list(range(len(read_blocks)))
    assert len(read_blocks) >= blocks - 16


def test_one_writer_does_not_hash_for_ever() -> None:
    blocks = 100
    whole, read_blocks = WholeDigest(blocks * BLOCK_BYTES), list[int]()

    def noted(start: int, size_bytes: int) -> bytes:
        read_blocks.append(start)
        return b""

    whole.hash_on(lambda: blocks * BLOCK_BYTES, noted)
    assert 0 < len(read_blocks) < blocks
    whole.hash_rest(noted)
    assert len(read_blocks) == blocks


@pytest.mark.parametrize("threads", [1, 4])
def test_writers_side_by_side_make_the_object_and_a_wrong_block_among_them_is_missing(
    tmp_path: Path, threads: int
) -> None:
    rng = random.Random(threads)
    with Store.open(tmp_path) as store:
        partial = store.begin(KEY, len(BODY), SHA256, "video/mp4", block_digests=DIGESTS)

        def put(block: int) -> None:
            start = block * BLOCK_BYTES
            piece = read(start, BLOCK_BYTES)
            if block == 7:
                with pytest.raises(BlockMismatch, match="block 7"):
                    partial.write_at(start, bytes(BLOCK_BYTES))
            cut = rng.choice([0, 100, BLOCK_BYTES // 2])
            partial.write_at(start, piece[:cut])
            partial.write_at(start + cut, piece[cut:])
            # Once more, and wrong: it is here, and is passed over.
            partial.write_at(start, bytes(len(piece)))

        order = list(range(BLOCKS))
        rng.shuffle(order)
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(put, order))
        assert partial.missing() == ()
        partial.publish()
    with open_object(object_path(str(tmp_path), KEY)) as there:
        assert there.read(0, len(BODY)) == BODY


def test_bytes_that_come_again_and_wrong_are_not_hashed_for_those_that_are_here(
    tmp_path: Path,
) -> None:
    with Store.open(tmp_path) as store:
        partial = store.begin(KEY, len(BODY), SHA256, "video/mp4", block_digests=DIGESTS)
        for block in (*range(1, BLOCKS), 0):
            partial.write_at(block * BLOCK_BYTES, read(block * BLOCK_BYTES, BLOCK_BYTES))
        # The last writer has hashed as much as one may: some blocks that are here are not hashed yet.
        for block in reversed(range(BLOCKS - 1)):
            partial.write_at(block * BLOCK_BYTES, bytes(BLOCK_BYTES))
        partial.publish()
        assert store.held(KEY) is not None


def test_two_threads_that_bring_the_same_blocks_make_the_object_once(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        partial = store.begin(KEY, len(BODY), SHA256, "video/mp4", block_digests=DIGESTS)
        with ThreadPoolExecutor(2) as pool:
            for _ in pool.map(lambda _: partial.write_at(0, BODY), range(2)):
                pass
        partial.publish()
        assert store.held(KEY) is not None
