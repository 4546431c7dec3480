"""A disk that gives EIO: no response is taken for whole that is not, and other objects are served on."""

import os
from contextlib import closing
from pathlib import Path

import pytest
from appliance.serving.broken_disk import breakable_disk
from appliance.serving.serve_process import (
    Served,
    put_object,
    read_response,
    read_to_end,
    serve,
)
from appliance.serving.slow_disk import evict
from appliance.store.operations import put
from scenarios.cold_disk import stand_on

from sluice_appliance.store.disks import DiskSpec, Tier
from sluice_appliance.store.layout import BODY_OFFSET, object_path, parse_key
from sluice_appliance.store.store import Store

KEY = "film/v1/broken.mp4"
BODY = os.urandom(8 << 20)
OTHER = b"on another disk"
DISK_BYTES = 64 << 20
STORAGE = 'sluice_appliance_refused_total{reason="storage"}'
PASSED_OVER = "sluice_appliance_copies_passed_over_total"
SPOILT = "sluice_appliance_spoilt_copies_total"


def get(served: Served, key: str) -> tuple[bytes, bytes]:
    """(head, body) of a response, as far as they came before the connection ended."""
    with closing(served.connect()) as client:
        ask = f"GET /{key} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        client.sendall(ask.encode())
        head, _, body = read_to_end(client).partition(b"\r\n\r\n")
        return head, body


# The last: of the header page, where an object begins.
@pytest.mark.parametrize("readable_bytes", [5 << 20, 0, -BODY_OFFSET])
def test_what_a_disk_fails_to_read_is_never_taken_for_whole(
    tmp_path: Path, readable_bytes: int
) -> None:
    store = tmp_path / "store"
    with breakable_disk(tmp_path, size_bytes=DISK_BYTES) as disk:
        put_object(store, "film/v1/other.mp4", OTHER)
        assert stand_on(disk.path, store, KEY)
        put_object(store, KEY, BODY)
        file = Path(object_path(str(store), parse_key(KEY)))
        disk.break_from(file, BODY_OFFSET + readable_bytes)
        evict(file)
        with serve(store) as served:
            workers = served.workers()
            for times in (1, 2):
                head, body = get(served, KEY)
                if readable_bytes > 0:
                    assert head.startswith(b"HTTP/1.1 200 ")
                    assert b"\r\nContent-Length: %d\r\n" % len(BODY) in head
                    assert 0 < len(body) <= readable_bytes
                    assert body == BODY[: len(body)]
                else:
                    assert head.startswith(b"HTTP/1.1 503 ")
                    assert b"; detail=storage" in head
                assert served.counters()[STORAGE] == times
            with closing(served.connect()) as client:
                client.sendall(b"GET /film/v1/other.mp4 HTTP/1.1\r\nHost: a\r\n\r\n")
                assert read_response(client)[2] == OTHER
            assert served.workers() == workers


# Where the first copy ends: in its middle, at its first byte.
@pytest.mark.parametrize("readable_bytes", [5 << 20, 0])
def test_what_a_disk_fails_to_read_comes_whole_from_another_disk_and_nobody_notices(
    tmp_path: Path, readable_bytes: int
) -> None:
    with breakable_disk(tmp_path, size_bytes=DISK_BYTES) as disk:
        (tmp_path / "sound").mkdir()
        specs = [
            DiskSpec(disk.path, DISK_BYTES, Tier.SSD),
            DiskSpec(tmp_path / "sound", DISK_BYTES, Tier.HDD),
        ]
        with Store.open(tmp_path / "store", specs) as store:
            put(store, parse_key(KEY), BODY)
            first = Path(store.path_of(parse_key(KEY)))
            put(store, parse_key(KEY), BODY, Tier.HDD)
        assert first.is_relative_to(disk.path)
        disk.break_from(first, BODY_OFFSET + readable_bytes)
        evict(first)
        with serve(tmp_path / "store") as served:
            for _ in range(2):
                head, body = get(served, KEY)
                assert head.startswith(b"HTTP/1.1 200 ")
                assert body == BODY
            counters = served.counters()
    assert counters[PASSED_OVER] == counters[SPOILT] == 1
    assert counters[STORAGE] == counters["sluice_appliance_broken_off_total"] == 0
