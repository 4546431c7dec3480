"""What a wire in the clear copies to a client and what the kernel takes from the page cache."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from appliance.serving.conversation import BIG, Reading, ask, put_bodies
from appliance.serving.worker_by_hand import ByHand, by_hand

from sluice_appliance.serving import tcp_path, wire
from sluice_appliance.serving.objects import OpenObject
from sluice_appliance.serving.spoilt import StorageFault
from sluice_appliance.serving.unsent import FLOOR_BYTES, PathInfo
from sluice_appliance.serving.wire import COPIED_FIRST_BYTES


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ByHand]:
    with by_hand(put_bodies(tmp_path / "store")) as found:
        yield found


@pytest.fixture
def by_sendfile(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each `sendfile` took."""
    took: list[int] = []
    send_file = os.sendfile

    def counted(to: int, source: int, offset: int, length: int) -> int:
        sent = send_file(to, source, offset, length)
        took.append(sent)
        return sent

    monkeypatch.setattr(os, "sendfile", counted)
    return took


def test_of_what_a_connection_is_sent_only_the_beginning_is_copied(
    served: ByHand, by_sendfile: list[int]
) -> None:
    with closing(served.connect()) as client:
        for number in range(4):
            client.send(ask(b"big"))
            assert Reading(client).answer()[2] == BIG
            expected = (number + 1) * len(BIG) - COPIED_FIRST_BYTES
            assert expected - wire._COPY_BYTES <= sum(by_sendfile) <= expected


def test_a_client_elsewhere_is_copied_nothing_once_that_is_known(
    served: ByHand, by_sendfile: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def far(connection: socket.SocketType) -> PathInfo:
        return PathInfo(min_rtt_us=20_000, delivery_bytes_per_s=1_000_000)

    monkeypatch.setattr(tcp_path, "look", far)
    with closing(served.connect(receive_buffer_bytes=2304, send_buffer_bytes=65536)) as client:
        client.send(ask(b"big"))
        # It took no more than its window and what may wait unsent, then it was looked at.
        assert Reading(client).answer()[2] == BIG
    copied = len(BIG) - sum(by_sendfile)
    assert 0 < copied <= FLOOR_BYTES + wire._COPY_BYTES


def test_a_body_that_ends_early_is_sent_to_its_last_byte(served: ByHand) -> None:
    """As by `sendfile`: who looks for another copy is told where this one ends."""
    source = served.worker.objects.find(b"/film/v1/big", served.clock_s)
    assert isinstance(source, OpenObject)
    os.truncate(source.path, source.begins_at + 100_000)
    near, far = socket.socketpair()
    with closing(near), closing(wire.PlainWire(far)) as plain:
        assert plain.send_with_body(b"head", source, 0, len(BIG)) == 4 + 100_000
        with pytest.raises(StorageFault, match="ends before byte"):
            plain.send_body(source, 100_000, 1000)
        far.shutdown(socket.SHUT_WR)
        assert near.recv(1 << 20, socket.MSG_WAITALL) == b"head" + BIG[:100_000]
