"""A store on a real disk."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sluice_appliance.object_key import parse_key
from sluice_appliance.store.blocks import block_digests
from sluice_appliance.store.errors import (
    DigestMismatch,
    Incomplete,
    StoreInUse,
    TooManyBytes,
)
from sluice_appliance.store.layout import BODY_OFFSET, ObjectHeader, object_path
from sluice_appliance.store.partial import PartialObject
from sluice_appliance.store.reading import open_object
from sluice_appliance.store.store import Store

KEY = parse_key("film/v1/h264-720p.mp4")
BODY = os.urandom(300_000)
DIGEST = hashlib.sha256(BODY).digest()


def begin(store: Store, *, sha256: bytes = DIGEST) -> PartialObject:
    return store.begin(KEY, len(BODY), sha256, "video/mp4")


def test_a_published_object_is_held_with_its_bytes_and_its_header(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        partial = begin(store)
        partial.write(BODY[:100_000])
        partial.write(BODY[100_000:])
        partial.publish()
        header = ObjectHeader(KEY, len(BODY), DIGEST, "video/mp4")
        assert store.held(KEY) == header
        assert list(store.scan()) == [header]
        assert list(store.partials()) == []
    with open_object(object_path(str(tmp_path), KEY)) as there:
        assert there.read(0, len(BODY)) == BODY
        assert there.block_digests == block_digests(BODY)


def test_an_object_of_no_bytes_can_be_held(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        partial = store.begin(KEY, 0, hashlib.sha256(b"").digest(), "text/plain")
        partial.publish()
        assert store.held(KEY) is not None


def test_nothing_is_held_before_it_is_published(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        partial = begin(store)
        partial.write(BODY)
        assert store.held(KEY) is None
        assert list(store.scan()) == []
        partial.close()


def test_a_partial_object_goes_on_where_it_stood_after_a_restart(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        partial = begin(store)
        partial.write(BODY[:123_457])
        partial.close()
    with Store.open(tmp_path) as store:
        partial = begin(store)
        assert partial.received_bytes == 123_457
        partial.write(BODY[123_457:])
        partial.publish()
        assert store.held(KEY) is not None


def test_wrong_bytes_are_never_published(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        partial = begin(store)
        partial.write(bytes(len(BODY)))
        with pytest.raises(DigestMismatch, match=DIGEST.hex()):
            partial.publish()
        assert store.held(KEY) is None
        partial.discard()
        again = begin(store)
        assert again.received_bytes == 0
        again.close()


def test_an_object_that_is_not_whole_is_never_published(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        partial = begin(store)
        partial.write(BODY[:-1])
        with pytest.raises(Incomplete, match=r"299999 bytes, it has 300000"):
            partial.publish()
        assert store.held(KEY) is None
        partial.close()


def test_more_bytes_than_the_object_has_are_not_taken(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        partial = begin(store)
        partial.write(BODY[:-1])
        with pytest.raises(TooManyBytes):
            partial.write(b"12")
        assert partial.received_bytes == len(BODY) - 1
        partial.close()


def test_bytes_on_disk_that_rotted_between_two_starts_are_noticed(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        partial = begin(store)
        partial.write(BODY[:200_000])
        partial.close()
        path = next((tmp_path / "partial").iterdir())
        with path.open("r+b") as file:
            file.seek(BODY_OFFSET + 1000)
            file.write(bytes(16))
        again = begin(store)
        again.write(BODY[200_000:])
        with pytest.raises(DigestMismatch):
            again.publish()
        again.discard()


def test_a_new_digest_under_the_same_key_begins_at_byte_zero(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        partial = begin(store)
        partial.write(BODY[:5])
        partial.close()
        other = begin(store, sha256=bytes(32))
        assert other.received_bytes == 0
        other.close()


def test_leftovers_that_cannot_be_gone_on_with_are_removed_at_the_start(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        partial = begin(store)
        partial.write(BODY[:5])
        partial.close()
    kept = next((tmp_path / "partial").iterdir())
    (tmp_path / "partial" / "empty").write_bytes(b"")
    (tmp_path / "partial" / "noise").write_bytes(b"noise" * 5000)
    (tmp_path / "partial" / "elsewhere").write_bytes(kept.read_bytes())
    Store.open(tmp_path).close()
    assert list((tmp_path / "partial").iterdir()) == [kept]


def test_strangers_files_and_folders_in_the_store_are_in_nobodys_way(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    (tmp_path / "objects" / "README").write_text("hello")
    (tmp_path / "objects" / "ab" / "folder").mkdir(parents=True)
    (tmp_path / "partial" / "folder").mkdir()
    with Store.open(tmp_path) as store:
        assert list(store.scan()) == []
        assert list(store.partials()) == []


@pytest.mark.parametrize("damage", ["cut", "grown", "header", "moved"])
def test_a_damaged_file_is_not_held(tmp_path: Path, damage: str) -> None:
    with Store.open(tmp_path) as store:
        partial = begin(store)
        partial.write(BODY)
        partial.publish()
        path = Path(object_path(str(tmp_path), KEY))
        content = path.read_bytes()
        match damage:
            case "cut":
                path.write_bytes(content[:-1])
            case "grown":
                path.write_bytes(content + b"x")
            case "header":
                path.write_bytes(b"X" + content[1:])
            case _:
                path.rename(path.with_name("0" * 64))
        assert store.held(KEY) is None
        assert list(store.scan()) == []


def test_a_deleted_object_is_gone_and_may_be_deleted_again(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        partial = begin(store)
        partial.write(BODY)
        partial.publish()
        store.delete(KEY)
        assert store.held(KEY) is None
        store.delete(KEY)


def test_a_second_owner_of_the_store_is_refused_with_the_first_ones_pid(tmp_path: Path) -> None:
    with Store.open(tmp_path), pytest.raises(StoreInUse, match=f"in use by process {os.getpid()}"):
        Store.open(tmp_path)
    Store.open(tmp_path).close()


def test_a_killed_owner_leaves_the_store_free(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from sluice_appliance.store.store import Store\n"
        "store = Store.open(Path(sys.argv[1])); print('open', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"open\n"
        with pytest.raises(StoreInUse):
            Store.open(tmp_path)
        owner.kill()
        owner.wait()
    Store.open(tmp_path).close()
