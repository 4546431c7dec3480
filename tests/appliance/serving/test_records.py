"""The line that tells of a request: what it says, what it hides, and how it gets to the disk."""

import json
import os
from pathlib import Path
from urllib.parse import quote

import pytest
from appliance.serving.serve_process import eventually

from sluice_appliance.serving import tally
from sluice_appliance.serving.record_writer import BUFFERED_BYTES_MAX, RecordWriter
from sluice_appliance.serving.records import Exchange
from sluice_appliance.serving.shown import ClientShown, show_client, show_path
from sluice_appliance.serving.telling import Teller, Telling, open_teller

TOLD = b"CMCD=br%3D3200%2Cbs%2Csid%3D%22ab%22%2Czz"
EXCHANGE = Exchange(
    client="192.0.2.77",
    ordinal=3,
    method=b"GET",
    target=b"/film/v1/a.mp4?CAT=secret&" + TOLD,
    fields={b"range": b"bytes=0-65535"},
    status=206,
    sent_bytes=65536,
    size_bytes=10_000_000,
    cache="hit",
    ttfb_us=80,
    duration_us=1234,
    tls="TLSv1.3",
    kernel_tls=True,
)


class Lines:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def put(self, line: bytes) -> None:
        self.lines.append(line)


def cells() -> "memoryview[int]":
    return memoryview(bytearray(tally.CELLS * 8)).cast("Q")


def teller(sink: Lines, row: "memoryview[int]", telling: Telling) -> Teller:
    return Teller(telling, sink, row, worker=1, wall_clock=lambda: 1_700_000_000.25)


def test_a_record_says_in_one_line_what_was_asked_and_what_was_sent() -> None:
    sink, row = Lines(), cells()
    telling = teller(sink, row, Telling(appliance="a-1"))
    telling.tell(telling.requests, EXCHANGE)
    (line,) = sink.lines
    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.250Z",
        "appliance": "a-1",
        "worker": 1,
        "client": "192.0.2.0/24",
        "connection_request": 3,
        "method": "GET",
        "target": "/film/v1/a.mp4",
        "status": 206,
        "sent_bytes": 65536,
        "size_bytes": 10_000_000,
        "range": "bytes=0-65535",
        "cache": "hit",
        "ttfb_us": 80,
        "duration_us": 1234,
        "tls": "TLSv1.3",
        "kernel_tls": True,
        "weight": 1,
        "cmcd": {"br": 3200, "bs": True, "sid": "ab"},
    }
    assert row[tally.CMCD_PAIRS_DROPPED] == 1


def test_what_a_client_sends_cannot_forge_a_second_line() -> None:
    sink = Lines()
    telling = teller(sink, cells(), Telling())
    forged = EXCHANGE._replace(target=b'/a"}\n{"status":200,\xff\x00' + b"x" * 9000)
    telling.tell(telling.requests, forged)
    (line,) = sink.lines
    assert line.count(b"\n") == 1
    assert json.loads(line)["target"].startswith('/a"}\n{"status":200,\\xff\x00')
    assert len(line) < 2000


@pytest.mark.parametrize(
    ("address", "whole", "network"),
    [
        ("192.0.2.77", "192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2::7", "2001:db8:1:2::7", "2001:db8:1::/48"),
        ("::ffff:192.0.2.77", "192.0.2.77", "192.0.2.0/24"),
        ("fe80::1%eth0", "fe80::1", "fe80::/48"),
        ("", "", ""),
    ],
)
def test_of_a_client_a_record_has_what_the_operator_lets_it_have(
    address: str, whole: str, network: str
) -> None:
    assert show_client(address, ClientShown.WHOLE) == whole
    assert show_client(address, ClientShown.NETWORK) == network
    assert show_client(address, ClientShown.NOTHING) == ""


@pytest.mark.parametrize(
    "target",
    [
        "/film/v1/a.mp4?CAT=secret&x=1",
        "/film;CAT=secret/v1/a.mp4",
        "/film/v1/a.mp4;URISigningPackage=secret;x=1?y",
        "/film&CAT=secret/v1/a.mp4#secret",
        "/film/v1/a.mp4%3FCAT=secret/more",
        "/film%3bCAT=secret/v1/a.mp4",
    ],
)
def test_no_token_is_shown_wherever_it_stands(target: str) -> None:
    assert show_path(target) == "/film/v1/a.mp4"
    sink = Lines()
    telling = teller(sink, cells(), Telling())
    told = b"CMCD=nor%3D%22" + quote(target, safe="").encode() + b"%22"
    telling.tell(telling.requests, EXCHANGE._replace(target=target.encode() + b"?" + told))
    telling.tell(telling.requests, EXCHANGE._replace(target=b"/a?" + told))
    assert b"secret" not in b"".join(sink.lines)
    assert json.loads(sink.lines[1])["cmcd"] == {"nor": "/film/v1/a.mp4"}


def test_failures_are_recorded_however_many_requests_succeed() -> None:
    sink, row = Lines(), cells()
    telling = teller(sink, row, Telling(records_per_s=8))
    failed = EXCHANGE._replace(status=404)
    for second in range(4):
        for number in range(10_000):
            failure = number in (3, 7_000)
            sampler = telling.failures if failure else telling.requests
            sampler.countdown -= 1
            if not sampler.countdown:
                telling.tell(sampler, failed if failure else EXCHANGE)
        telling.tick(float(second + 1))
    records = [json.loads(line) for line in sink.lines]
    assert sum(record["status"] == 404 for record in records) == 8
    assert sum(record["status"] == 206 for record in records) < 4 * 8 + 30
    assert row[tally.RECORDS_SAMPLED_OUT] == sum(record["weight"] - 1 for record in records)


def test_a_setting_that_cannot_be_is_refused_with_its_name() -> None:
    with pytest.raises(ValueError, match="records_per_s is 0"):
        Telling(records_per_s=0)
    with pytest.raises(ValueError, match="everything"):
        Telling(clients="everything")


def test_lines_arrive_whole_and_a_rotated_file_is_begun_anew(tmp_path: Path) -> None:
    path, row = tmp_path / "access.jsonl", cells()
    writer = RecordWriter(path, row)
    writer.start()
    writer.put(b'{"n":1}\n')
    eventually(lambda: path.exists() and path.read_bytes() == b'{"n":1}\n', "the first line")
    rotated = path.rename(tmp_path / "access.jsonl.1")

    def goes_to_the_new_file() -> bool:
        writer.put(b'{"n":2}\n')
        return path.exists()

    eventually(goes_to_the_new_file, "a new file at the path")
    writer.close()
    lines = rotated.read_bytes() + path.read_bytes()
    assert lines == b'{"n":1}\n' + b'{"n":2}\n' * (row[tally.RECORDS_WRITTEN] - 1)
    assert row[tally.RECORDS_FAILED] == row[tally.RECORDS_DROPPED] == 0


def test_a_worker_that_ends_has_written_what_it_recorded(tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"
    asked = Telling(records=str(path))
    with open_teller(asked, cells(), worker=1, wall_clock=lambda: 0.0) as telling:
        assert telling is not None
        telling.tell(telling.requests, EXCHANGE)
    assert json.loads(path.read_bytes())["target"] == "/film/v1/a.mp4"
    with open_teller(Telling(), cells(), worker=1, wall_clock=lambda: 0.0) as nobody:
        assert nobody is None


def test_workers_that_share_a_file_keep_their_lines_apart(tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"
    writers = [RecordWriter(path, cells()) for _ in range(2)]
    for number, writer in enumerate(writers):
        writer.start()
        for _ in range(500):
            writer.put(b"%d" % number * 200 + b"\n")
    for writer in writers:
        writer.close()
    lines = sorted(path.read_bytes().splitlines())
    assert lines == [b"0" * 200] * 500 + [b"1" * 200] * 500


def test_a_disk_that_is_too_slow_costs_records_and_says_how_many(tmp_path: Path) -> None:
    row = cells()
    # Its thread has not begun: a disk that takes nothing.
    writer = RecordWriter(tmp_path / "access.jsonl", row)
    line = b"x" * 1023 + b"\n"
    for _ in range(2 * BUFFERED_BYTES_MAX // 1024):
        writer.put(line)
    assert row[tally.RECORDS_DROPPED] == BUFFERED_BYTES_MAX // 1024
    writer.start()
    writer.close()
    assert row[tally.RECORDS_WRITTEN] == BUFFERED_BYTES_MAX // 1024


def test_a_file_that_cannot_be_written_is_counted_and_tried_again(tmp_path: Path) -> None:
    folder, row = tmp_path / "later", cells()
    writer = RecordWriter(folder / "access.jsonl", row)
    writer.start()
    writer.put(b"lost\n")
    eventually(lambda: row[tally.RECORDS_FAILED] == 1, "a record failed")
    os.mkdir(folder)
    writer.put(b"written\n")
    writer.close()
    assert (folder / "access.jsonl").read_bytes() == b"written\n"
