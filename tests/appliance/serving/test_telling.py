"""What a served request leaves behind: a record, a hit for its object, a time to first byte."""

import http.client
import json
import os
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from appliance.serving.serve_process import (
    Served,
    eventually,
    put_object,
    read_response,
    serve,
)
from appliance.serving.test_command import run

BODY = b"0123456789" * 1000
REQUESTS = 20


def ask(served: Served, target: str, fields: str = "") -> None:
    with closing(served.connect()) as client:
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode())
        read_response(client)


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def test_each_request_leaves_a_record_that_names_its_object_and_hides_its_token(
    tmp_path: Path,
) -> None:
    store, path = tmp_path / "store", tmp_path / "access.jsonl"
    put_object(store, "film/v1/a", BODY)
    with serve(store, "--access-records", str(path), workers=2) as served:
        for _ in range(REQUESTS - 1):
            ask(served, "/film/v1/a?CAT=secret&CMCD=br%3D3200%2Cbs")
        ask(served, "/film/v1/a?CAT=secret", "CMCD-Object: br=3200\r\nCMCD-Status: bs\r\n")
        ask(served, "/film/v1/absent")
        eventually(lambda: len(records(path)) == REQUESTS + 1, "a record of each request")
        counters = served.counters()
    assert counters['sluice_appliance_access_records_total{outcome="written"}'] == REQUESTS + 1
    assert b"secret" not in path.read_bytes()
    good = [record for record in records(path) if record["status"] == 200]
    assert len(good) == REQUESTS
    for record in good:
        assert record["target"] == "/film/v1/a"
        assert record["client"] == "127.0.0.0/24"
        assert (record["sent_bytes"], record["weight"]) == (len(BODY), 1)
        assert record["cmcd"] == {"br": 3200, "bs": True}


def test_of_many_requests_some_are_recorded_and_their_weights_make_up_for_the_others(
    tmp_path: Path,
) -> None:
    store, path = tmp_path / "store", tmp_path / "access.jsonl"
    put_object(store, "film/v1/a", BODY)
    with serve(store, "--access-records", str(path), "--access-records-per-s", "5") as served:
        with closing(served.connect()) as client:
            for _ in range(1000):
                client.sendall(b"GET /film/v1/a HTTP/1.1\r\nHost: a\r\n\r\n")
                read_response(client)
        eventually(lambda: len(records(path)) > 5, "some records")
        before = served.counters()
    told = records(path)
    assert len(told) < 200
    weights = sum(record["weight"] for record in told)
    assert weights <= 1000
    sampled_out = before['sluice_appliance_access_records_total{outcome="sampled_out"}']
    assert sampled_out == weights - len(told)


def popularity(served: Served) -> list[dict[str, Any]]:
    with closing(http.client.HTTPConnection("127.0.0.1", served.admin_port)) as page:
        page.request("GET", "/popularity")
        shown: list[dict[str, Any]] = json.load(page.getresponse())["objects"]
        return shown


def test_the_popularity_page_counts_what_clients_took_even_of_a_worker_that_was_killed(
    tmp_path: Path,
) -> None:
    store = tmp_path / "store"
    put_object(store, "film/v1/a", BODY)
    put_object(store, "film/v1/b", BODY)

    def both_are_counted() -> bool:
        rates = {each["key"]: each["requests_per_s"] for each in popularity(served)}
        return rates.keys() == {"film/v1/a", "film/v1/b"} and (
            1.9 < rates["film/v1/b"] / rates["film/v1/a"] < 2.1
        )

    with serve(store) as served:
        for target in ("/film/v1/a", "/film/v1/b", "/film/v1/b"):
            ask(served, target)
        eventually(both_are_counted, "twice as many hits for b as for a")
        (pid,) = served.workers()
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: served.workers() not in ([pid], []), "another worker in its place")
        for target in ("/film/v1/a", "/film/v1/b", "/film/v1/b"):
            ask(served, target)
        eventually(both_are_counted, "hits of both workers together")
        most = popularity(served)[0]
        assert most["bytes_per_s"] / most["requests_per_s"] == pytest.approx(len(BODY))


def test_a_records_file_that_cannot_be_made_is_one_line_that_names_the_option(
    tmp_path: Path,
) -> None:
    done = run(
        *("--store", str(tmp_path), "--listen", "127.0.0.1:0"),
        *("--access-records", str(tmp_path / "nowhere" / "a.jsonl")),
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "(option --access-records)" in done.stderr
