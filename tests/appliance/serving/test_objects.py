"""The objects that are open: whose descriptors they are, and how long."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from appliance.serving.serve_process import put_object, remove_object
from appliance.serving.slow_disk import evict
from appliance.serving.worker_by_hand import new_row, open_descriptors

from sluice_appliance.serving import tally
from sluice_appliance.serving.answers import Response
from sluice_appliance.serving.objects import (
    FRESH_S,
    Cold,
    Missing,
    OpenObject,
    OpenObjects,
    StorageFault,
)
from sluice_appliance.serving.popularity import Hits, Popularity
from sluice_appliance.serving.residency import Residency
from sluice_appliance.serving.windows import NOTHING, WINDOW_BYTES, Piece
from sluice_appliance.store.disks import DiskPlace, Tier
from sluice_appliance.store.layout import BODY_OFFSET, object_path, parse_key
from sluice_appliance.store.store import Store

Found = OpenObject | Missing | Response | Exception


class Opened:
    """Objects of a store of our own."""

    def __init__(self, root: Path, capacity: int, disks: Sequence[DiskPlace] = ()) -> None:
        self.root = root
        self.popularity = Popularity(1)
        self.row = new_row()
        self.objects = OpenObjects(
            disks or (DiskPlace(str(root), ""),),
            capacity,
            self.row,
            self.popularity.claim(),
            Residency(),
        )

    def find(self, name: str, now: float = 0.0) -> Found:
        """What a request comes to, a disk included."""
        target = f"/film/v1/{name}".encode()
        found = self.objects.find(target, now)
        if not isinstance(found, Cold):
            return found
        try:
            found.opened(found.open(NOTHING))
        except (OSError, StorageFault) as error:
            return error
        return self.find(name, now)

    def open(self, name: str, now: float = 0.0) -> OpenObject:
        found = self.find(name, now)
        assert isinstance(found, OpenObject), found
        return found


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    for number in range(5):
        put_object(tmp_path / "store", f"film/v1/{number}", b"%d" % number)
    found = Opened(tmp_path / "store", 3)
    yield found
    found.objects.close()


def is_closed(found: OpenObject) -> bool:
    """Its number may be another's by now."""
    try:
        there = os.fstat(found.fd)
    except OSError:
        return True
    return (there.st_ctime_ns, there.st_size) != (found.identity[1], found.identity[2])


def is_absent(found: Found) -> bool:
    return isinstance(found, FileNotFoundError) or (isinstance(found, Missing) and not found.fault)


def is_unreadable(found: Found) -> bool:
    return isinstance(found, OSError | StorageFault) or (
        isinstance(found, Missing) and bool(found.fault)
    )


def test_an_object_is_opened_once_and_closed_when_others_were_asked_for_since(
    opened: Opened,
) -> None:
    first = opened.open("0")
    for name in ("1", "2", "0", "3"):
        opened.open(name)
    # "1" was the least recently asked for.
    assert opened.open("0") is first
    assert not is_closed(first)
    for name in ("1", "2", "3"):
        opened.open(name)
    assert is_closed(first)


def test_an_object_that_is_being_sent_is_closed_when_that_ends(opened: Opened) -> None:
    sent = opened.open("0")
    sent.users += 1
    for name in ("1", "2", "3", "4"):
        opened.open(name)
    assert not is_closed(sent)
    assert bytes(sent.piece(0, 1)) == b"0"
    sent.release()
    assert is_closed(sent)


def test_a_replaced_object_is_found_anew_once_it_is_looked_at_again(opened: Opened) -> None:
    first = opened.open("0", 10.0)
    put_object(opened.root, "film/v1/0", b"another")
    assert opened.open("0", 10.0 + FRESH_S / 2) is first
    second = opened.open("0", 10.0 + FRESH_S)
    assert second.facts.size_bytes == 7
    assert is_closed(first)


def test_a_removed_object_is_absent_once_it_is_looked_at_again(opened: Opened) -> None:
    opened.open("0", 10.0)
    remove_object(opened.root, "film/v1/0")
    assert is_absent(opened.find("0", 10.0 + FRESH_S))


def test_an_object_that_is_touched_by_nobody_stays_the_one_that_is_open(opened: Opened) -> None:
    first = opened.open("0", 0.0)
    for second in range(1, 50):
        assert opened.open("0", second * FRESH_S) is first


def test_what_cannot_be_opened_holds_no_descriptor(opened: Opened) -> None:
    path = Path(object_path(str(opened.root), parse_key("film/v1/0")))
    whole = path.read_bytes()
    before = open_descriptors()
    for content in (b"", whole[:100], whole[:-1], whole + b"x", b"\0" * len(whole)):
        path.write_bytes(content)
        assert is_unreadable(opened.find("0"))
    path.unlink()
    path.symlink_to("/etc/passwd")
    assert is_unreadable(opened.find("0"))
    assert open_descriptors() == before


def test_hits_that_were_not_added_yet_are_not_lost_when_the_object_is_closed(
    opened: Opened,
) -> None:
    found = opened.open("0")
    found.hits, found.sent_bytes = 3, 30
    for name in ("1", "2", "3"):
        opened.open(name)
    assert opened.popularity.drain().by_key == {"film/v1/0": Hits(3, 30)}


@pytest.mark.parametrize(
    ("size_bytes", "wanted", "comes"),
    [
        (100_000, NOTHING, Piece(0, 100_000)),
        (100_000, Piece(65_536, 65_536), Piece(0, 100_000)),
        (3 * WINDOW_BYTES, NOTHING, NOTHING),
        (3 * WINDOW_BYTES, Piece(0, WINDOW_BYTES), Piece(0, WINDOW_BYTES)),
        (3 * WINDOW_BYTES, Piece(WINDOW_BYTES, 65_536), Piece(WINDOW_BYTES, 65_536)),
        (WINDOW_BYTES + 7, Piece(WINDOW_BYTES, 65_536), Piece(WINDOW_BYTES, 7)),
        (WINDOW_BYTES, Piece(WINDOW_BYTES, 65_536), NOTHING),
        (0, Piece(0, WINDOW_BYTES), NOTHING),
    ],
)
def test_a_cold_object_is_opened_and_read_in_one_go_a_small_one_whole(
    tmp_path: Path, size_bytes: int, wanted: Piece, comes: Piece
) -> None:
    put_object(tmp_path / "store", "film/v1/0", bytes(size_bytes))
    opened = Opened(tmp_path / "store", 3)
    with closing(opened.objects):
        evict(Path(object_path(str(tmp_path / "store"), parse_key("film/v1/0"))))
        cold = opened.objects.find(b"/film/v1/0", 1.0)
        assert isinstance(cold, Cold), cold
        cold.opened(cold.open(wanted))
        found = opened.open("0", 1.0)
        assert found.brought == comes
        assert opened.row[tally.READ_AHEAD_BYTES] == comes.length
        if comes.length:
            assert found.pages.reach(comes.offset, 1.0) == comes.end
            assert Residency().holds(found.fd, BODY_OFFSET + comes.offset, comes.length)
        if comes.length < size_bytes:
            assert not Residency().holds(found.fd, BODY_OFFSET, size_bytes)


def test_the_query_of_a_target_is_no_part_of_what_is_open(opened: Opened) -> None:
    first = opened.open("0")
    assert opened.open("0?a=b") is first
    assert opened.objects.find_open(b"/film/v1/0", 0.0) is first
    assert opened.objects.find_open(b"/film/v1/0", FRESH_S) is None


@pytest.fixture
def two_disks(tmp_path: Path) -> Iterator[Opened]:
    """Flash at `store`, a disk that rotates at `slow`; the same object on both."""
    slow = DiskPlace(str(tmp_path / "slow"), "b", Tier.HDD)
    for root in ("store", "slow"):
        put_object(tmp_path / root, "film/v1/0", b"both")
    put_object(tmp_path / "slow", "film/v1/1", b"slow")
    found = Opened(tmp_path / "store", 3, (slow, DiskPlace(str(tmp_path / "store"), "a")))
    yield found
    found.objects.close()


def test_an_object_is_found_on_whichever_disk_has_it_on_flash_first(two_disks: Opened) -> None:
    assert two_disks.open("0").path.startswith(str(two_disks.root))
    assert bytes(two_disks.open("1").piece(0, 4)) == b"slow"
    assert is_absent(two_disks.find("2"))


def test_a_file_that_is_damaged_or_unreadable_on_one_disk_is_served_from_the_other(
    two_disks: Opened,
) -> None:
    path = Path(object_path(str(two_disks.root), parse_key("film/v1/0")))
    whole = path.read_bytes()
    for content in (b"", whole[:-1], b"\0" * len(whole)):
        path.write_bytes(content)
        assert "/slow/" in two_disks.open("0").path
        two_disks.objects.close()
    path.unlink()
    path.symlink_to(path)
    assert "/slow/" in two_disks.open("0").path
    two_disks.objects.close()
    remove_object(two_disks.root.parent / "slow", "film/v1/0")
    # Somewhere it may be: that is not the same as nowhere.
    assert is_unreadable(two_disks.find("0"))


def test_an_object_that_moved_to_the_other_tier_is_found_there(two_disks: Opened) -> None:
    two_disks.open("0", 10.0)
    remove_object(two_disks.root, "film/v1/0")
    assert "/slow/" in two_disks.open("0", 10.0 + FRESH_S).path


def test_an_object_with_digests_of_its_blocks_is_served_without_them(tmp_path: Path) -> None:
    body = os.urandom(5000)
    with Store.open(tmp_path / "store") as store:
        sha256 = hashlib.sha256(body).digest()
        partial = store.begin(parse_key("film/v1/0"), len(body), sha256, "video/mp4")
        partial.write(body)
        partial.publish()
    opened = Opened(tmp_path / "store", 3)
    found = opened.open("0")
    assert found.facts.size_bytes == len(body)
    assert bytes(found.piece(0, len(body))) == body
    opened.objects.close()
