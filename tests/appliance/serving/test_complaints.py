"""What users of other cache servers complain of, about ranges: none of it is so here."""

import random
from collections.abc import Iterator
from contextlib import closing
from email.parser import BytesParser
from pathlib import Path

import pytest
from appliance.serving.conversation import Reading, ask
from appliance.serving.serve_process import put_object
from appliance.serving.slow_disk import evict
from appliance.serving.worker_by_hand import ByHand, by_hand

from sluice_appliance.store.layout import object_path, parse_key

BODY = random.Random(21).randbytes(2_000_000)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ByHand]:
    put_object(tmp_path / "store", "film/v1/a", BODY)
    # Nothing of it is in memory, where its file system has a disk.
    evict(Path(object_path(str(tmp_path / "store"), parse_key("film/v1/a"))))
    with by_hand(tmp_path / "store") as found:
        yield found


def test_complaint_21_several_ranges_are_answered_by_all_of_them(served: ByHand) -> None:
    """https://github.com/varnishcache/varnish-cache/issues/3715 and /2739: several ranges are 416, or are
    not looked at."""
    client = served.connect()
    with closing(client.socket):
        client.send(ask(b"a", b"Range: bytes=0-9, 1000000-1000009, -10"))
        status, lines, body = Reading(client).answer()
    assert status == 206
    [content_type] = [line for line in lines if line.startswith(b"Content-Type: ")]
    assert content_type.startswith(b"Content-Type: multipart/byteranges; boundary=")
    message = BytesParser().parsebytes(content_type + b"\r\n\r\n" + body)
    assert message.is_multipart()
    _, *parts = message.walk()
    got = {part["Content-Range"]: part.get_payload(decode=True) for part in parts}
    assert got == {
        "bytes 0-9/2000000": BODY[:10],
        "bytes 1000000-1000009/2000000": BODY[1_000_000:1_000_010],
        "bytes 1999990-1999999/2000000": BODY[-10:],
    }


def test_complaint_21_a_range_that_is_asked_for_first_is_answered_with_that_range(
    served: ByHand,
) -> None:
    """https://github.com/varnishcache/varnish-cache/issues/4081: a range that is not in the cache yet is
    answered with 200 and the whole object."""
    client = served.connect()
    with closing(client.socket):
        client.send(ask(b"a", b"Range: bytes=1500000-1500099"))
        status, lines, body = Reading(client).answer()
    assert (status, body) == (206, BODY[1_500_000:1_500_100])
    assert b"Content-Range: bytes 1500000-1500099/2000000" in lines


@pytest.mark.parametrize("at_once", [False, True])
def test_complaint_21_two_ranges_on_one_connection_do_not_stall(
    served: ByHand, *, at_once: bool
) -> None:
    """https://github.com/varnishcache/varnish-cache/issues/2035: the second of two ranges that are asked for
    on one connection does not come."""
    ranges = [(0, 1_199_999), (800_000, 1_999_999)]
    asks = [ask(b"a", b"Range: bytes=%d-%d" % each) for each in ranges]
    client = served.connect(receive_buffer_bytes=8192, send_buffer_bytes=8192)
    with closing(client.socket):
        reading = Reading(client)
        if at_once:
            client.send(b"".join(asks))
        for (first, last), each in zip(ranges, asks, strict=True):
            if not at_once:
                client.send(each)
            assert reading.answer()[::2] == (206, BODY[first : last + 1])
