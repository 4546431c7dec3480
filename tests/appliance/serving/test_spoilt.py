"""A copy that its disk no longer gives is passed over: a response that was begun goes on from another."""

import os
import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from appliance.serving.broken_disk import breakable_disk
from appliance.serving.conversation import Clients, Reading, ask
from appliance.serving.serve_process import put_object, remove_object
from appliance.serving.slow_disk import evict
from appliance.serving.test_tls import make_certificate
from appliance.serving.worker_by_hand import ByHand, by_hand, new_row

from sluice_appliance.serving import tally
from sluice_appliance.serving.openssl import Context
from sluice_appliance.serving.settings import ServingSettings
from sluice_appliance.serving.spoilt import SPOILT_MAX, SPOILT_S, SpoiltCopies
from sluice_appliance.serving.suspicions import hear, pair, tell
from sluice_appliance.store.disks import DiskPlace, Tier
from sluice_appliance.store.layout import BODY_OFFSET, object_path, parse_key

BIG = random.Random(5).randbytes(3 * 1024 * 1024 + 7)
MIDDLE = random.Random(3).randbytes(300_001)
TOGETHER = random.Random(4).randbytes(20_000)
BODIES = {"big": BIG, "middle": MIDDLE, "together": TOGETHER}


@dataclass
class TwoDisks:
    """Each object stands on flash, where it is looked for first, and on a disk that rotates."""

    root: Path
    served: ByHand
    told: list[tuple[str, int]]

    def first(self, name: str) -> Path:
        return self._path("flash", name)

    def second(self, name: str) -> Path:
        return self._path("slow", name)

    def _path(self, disk: str, name: str) -> Path:
        return Path(object_path(str(self.root / disk), parse_key(f"film/v1/{name}")))

    def cut(self, path: Path, body_bytes: int) -> None:
        """What a worker has open ends there from now on: the nearest to EIO that any disk can do."""
        os.truncate(path, BODY_OFFSET + body_bytes)

    def counts(self, cell: int) -> int:
        return self.served.counts(cell)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[TwoDisks]:
    for name, body in BODIES.items():
        for disk in ("flash", "slow"):
            put_object(tmp_path / disk, f"film/v1/{name}", body)
    places = (
        DiskPlace(str(tmp_path / "slow"), "b", Tier.HDD),
        DiskPlace(str(tmp_path / "flash"), "a", Tier.SSD),
    )
    settings = ServingSettings(store=str(tmp_path / "flash"), disks=places)
    told: list[tuple[str, int]] = []

    def hear_of(path: str, offset: int) -> bool:
        told.append((path, offset))
        return True

    with by_hand(tmp_path / "flash", settings=settings, tell=hear_of) as served:
        yield TwoDisks(tmp_path, served, told)


def test_a_body_whose_copy_ends_in_the_middle_goes_on_from_another_at_the_same_byte(
    two: TwoDisks,
) -> None:
    client = two.served.connect(receive_buffer_bytes=4096, send_buffer_bytes=4096)
    with closing(client.socket):
        client.send(ask(b"big"))
        reading = Reading(client, 1000)
        client.receive(1)
        two.cut(two.first("big"), 1_500_000)
        # What was received above is the first byte of the status line.
        reading._received += b"H"
        status, _, body = reading.answer()
        assert (status, body) == (200, BIG)
        # The connection is in step: the next request is answered, from the copy that is left.
        client.send(ask(b"big", b"Range: bytes=2000000-2000009"))
        assert reading.answer()[::2] == (206, BIG[2_000_000:2_000_010])
    assert two.counts(tally.COPIES_PASSED_OVER) == two.counts(tally.SPOILT_COPIES) == 1
    assert two.counts(tally.REFUSED_STORAGE) == two.counts(tally.BROKEN_OFF) == 0
    [(path, offset)] = two.told
    assert path == str(two.first("big"))
    assert 0 < offset <= 1_500_000


@pytest.mark.parametrize("name", ["middle", "together"])
@pytest.mark.parametrize("left_bytes", [0, 4096, 12_288])
def test_an_answer_that_is_sent_in_one_go_goes_on_from_another_copy_too(
    two: TwoDisks, name: str, left_bytes: int
) -> None:
    client = two.served.connect()
    with closing(client.socket):
        reading = Reading(client)
        for _ in range(3):
            client.send(ask(name.encode()))
            assert reading.answer()[::2] == (200, BODIES[name])
        # Nobody looks at the file again within the second: it is answered as the last ones were.
        two.cut(two.first(name), left_bytes)
        for _ in range(3):
            client.send(ask(name.encode()))
            assert reading.answer()[::2] == (200, BODIES[name])
    assert two.counts(tally.COPIES_PASSED_OVER) == 1
    assert two.counts(tally.REFUSED_STORAGE) == two.counts(tally.BROKEN_OFF) == 0


def test_a_body_breaks_off_where_no_copy_goes_on(two: TwoDisks) -> None:
    client = two.served.connect(receive_buffer_bytes=4096, send_buffer_bytes=4096)
    with closing(client.socket):
        client.send(ask(b"big"))
        client.receive(1)
        two.cut(two.first("big"), 1_500_000)
        two.cut(two.second("big"), 1_600_000)
        received = 1
        while piece := client.receive(1 << 16):
            received += len(piece)
        assert received < 1_700_000
    assert two.counts(tally.REFUSED_STORAGE) == two.counts(tally.BROKEN_OFF) == 1
    assert {path for path, _ in two.told} == {str(two.first("big")), str(two.second("big"))}


def test_another_object_under_the_same_key_is_no_copy(two: TwoDisks) -> None:
    put_object(two.root / "slow", "film/v1/big", bytes(len(BIG)))
    client = two.served.connect(receive_buffer_bytes=4096, send_buffer_bytes=4096)
    with closing(client.socket):
        client.send(ask(b"big"))
        received = client.receive(1)
        two.cut(two.first("big"), 1_500_000)
        while piece := client.receive(1 << 16):
            received += piece
        body = received.partition(b"\r\n\r\n")[2]
        assert body == BIG[: len(body)]
        assert len(body) <= 1_500_000
    assert two.counts(tally.REFUSED_STORAGE) == 1


def test_a_spoilt_copy_is_looked_for_last_until_it_had_time_to_be_put_right(two: TwoDisks) -> None:
    def served_from() -> str:
        client = two.served.connect()
        with closing(client.socket):
            client.send(ask(b"middle"))
            assert Reading(client).answer()[::2] == (200, MIDDLE)
        found = two.served.worker.objects.find_open(b"/film/v1/middle", two.served.clock_s)
        assert found is not None
        return found.path

    whole = two.first("middle").read_bytes()
    two.cut(two.first("middle"), 1000)
    assert served_from() == str(two.second("middle"))
    assert two.counts(tally.COPIES_PASSED_OVER) == 1
    two.first("middle").write_bytes(whole)
    remove_object(two.root / "slow", "film/v1/middle")
    two.served.pass_time(2)
    # It is better than none.
    assert served_from() == str(two.first("middle"))
    put_object(two.root / "slow", "film/v1/middle", MIDDLE)
    remove_object(two.root / "flash", "film/v1/middle")
    two.served.pass_time(SPOILT_S)
    assert served_from() == str(two.second("middle"))
    put_object(two.root / "flash", "film/v1/middle", MIDDLE)
    remove_object(two.root / "slow", "film/v1/middle")
    two.served.pass_time(2)
    assert served_from() == str(two.first("middle"))
    assert two.counts(tally.SPOILT_COPIES) == 1


def test_spoilt_copies_are_told_of_once_and_forgotten_in_time_and_beyond_a_bound() -> None:
    row, told = new_row(), []

    def hear_of(path: str, offset: int) -> bool:
        told.append((path, offset))
        return len(told) < 3

    spoilt = SpoiltCopies(row, hear_of)
    assert spoilt.add("a", 7, 0.0)
    assert not spoilt.add("a", 9, 1.0)
    assert spoilt.last(["a", "b", "c"], 1.0) == ["b", "c", "a"]
    assert spoilt.last(["b", "c"], 1.0) == ["b", "c"]
    assert not spoilt.has("a", 1.0 + SPOILT_S)
    assert spoilt.add("a", 7, 2.0 + SPOILT_S)
    assert told == [("a", 7), ("a", 7)]
    for number in range(SPOILT_MAX):
        spoilt.add(str(number), 0, 2.0 + SPOILT_S)
    assert not spoilt.has("a", 2.0 + SPOILT_S)
    assert row[tally.SPOILT_COPIES] == SPOILT_MAX + 2
    assert row[tally.SPOILT_COPIES_UNTOLD] == SPOILT_MAX


def test_a_worker_that_tells_more_than_is_heard_does_not_wait_and_knows_it() -> None:
    heard, told = pair()
    with closing(heard), closing(told):
        paths = [f"/srv/a name with spaces/{number}" for number in range(5000)]
        took = [path for path in paths if tell(told, path, 5)]
        assert 0 < len(took) < len(paths)
        got: list[tuple[str, int]] = []
        for _ in range(len(took)):
            hear(heard, lambda path, offset: got.append((path, offset)))
        assert got == [(path, 5) for path in took]


# Where the first copy ends: in its middle, at its first byte.
@pytest.mark.parametrize("readable_bytes", [1 << 20, 0])
def test_over_tls_a_copy_that_its_disk_no_longer_gives_is_passed_over_too(
    tmp_path: Path, readable_bytes: int
) -> None:
    files = make_certificate(tmp_path)
    with breakable_disk(tmp_path, size_bytes=32 << 20) as disk:
        for root in (disk.path, tmp_path / "slow"):
            put_object(root, "film/v1/big", BIG)
        first = Path(object_path(str(disk.path), parse_key("film/v1/big")))
        disk.break_from(first, BODY_OFFSET + readable_bytes)
        evict(first)
        places = (
            DiskPlace(str(disk.path), "a", Tier.SSD),
            DiskPlace(str(tmp_path / "slow"), "b", Tier.HDD),
        )
        settings = ServingSettings(store=str(tmp_path), disks=places)
        told: list[str] = []

        def hear_of(path: str, offset: int) -> bool:
            told.append(path)
            return True

        with by_hand(tmp_path, settings=settings, context=Context(files), tell=hear_of) as served:
            client = Clients(served, "tls", files).connect()
            with closing(client.socket):
                reading = Reading(client)
                for _ in range(2):
                    client.send(ask(b"big"))
                    assert reading.answer()[::2] == (200, BIG)
                # The connection is in step.
                client.send(ask(b"big", b"Range: bytes=2000000-2000009"))
                assert reading.answer()[::2] == (206, BIG[2_000_000:2_000_010])
            assert served.counts(tally.COPIES_PASSED_OVER) == 1
            assert served.counts(tally.SPOILT_COPIES) == 1
            assert served.counts(tally.REFUSED_STORAGE) == served.counts(tally.BROKEN_OFF) == 0
        assert told == [str(first)]
