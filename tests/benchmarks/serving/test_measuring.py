"""What the figures stand on: words of clients understood, medians taken, all of a server counted."""

import re
import signal
import subprocess
import sys
from statistics import median

import pytest
from benchmarks.serving import matrix, process_tree, report
from benchmarks.serving.clients.load import Load, LoadFailed
from benchmarks.serving.clients.openssl_client import read_openssl
from benchmarks.serving.clients.wrk import read_wrk
from benchmarks.serving.matrix import Cell, Manner
from benchmarks.serving.peers.roster import Missing, require
from benchmarks.serving.process_tree import CpuTime
from benchmarks.serving.report import Run

WRK = """\
Running 2s test @ http://127.0.0.1:8080/a
  1 threads and 32 connections
  Latency Distribution
     50%  900.00us
     75%    1.20ms
     90%    2.00ms
     99%    1.50s
  5000 requests in 2.50s, 0.98GB read
Requests/sec:   2000.00
"""


def run(requests_per_s: float) -> Run:
    load = Load(round(requests_per_s), 1.0, 1.0, 2.0)
    return report.one_run(load, matrix.MIB, CpuTime(0.1, 0.2), 0)


def test_wrks_figures_are_read_in_any_of_its_units() -> None:
    assert read_wrk(WRK) == Load(5000, 2.5, 0.9, 1500.0)
    assert read_wrk(WRK + "all were asked for in 0.500 s\n").requests_per_s == 10_000


@pytest.mark.parametrize(
    "wrong", ["  Non-2xx or 3xx responses: 1\n", "  Socket errors: connect 0, read 1, write 0\n"]
)
def test_a_run_with_one_failed_request_is_no_measurement(wrong: str) -> None:
    with pytest.raises(LoadFailed, match="requests failed"):
        read_wrk(WRK + wrong)


def test_a_cold_run_tells_what_was_refused_apart_from_what_was_served() -> None:
    shed = read_wrk(WRK + "  Non-2xx or 3xx responses: 1000\n", may_refuse=True)
    assert (shed.requests, shed.refused, shed.requests_per_s) == (4000, 1000, 1600)


def test_a_connection_that_did_not_bring_the_object_is_no_measurement() -> None:
    said = "7 connections in 0.1s; 70.0 connections/user sec, bytes read 8\n"
    said += "7 connections in 2 real seconds, 4300 bytes read per connection\n"
    assert read_openssl(said, 4096) == 7
    with pytest.raises(LoadFailed):
        read_openssl(said, 65536)


def test_large_objects_in_the_clear_are_asked_for_by_a_client_that_reads_much_at_a_time() -> None:
    def client(manner: Manner, scheme: str, size_bytes: int) -> str:
        return manner.client_of(Cell(scheme, size_bytes, 32), reader_from_bytes=matrix.MIB)

    assert client(Manner(), "http", matrix.MIB) == "reader"
    assert client(Manner(ranges=True), "http", 4 * matrix.MIB) == "reader"
    assert client(Manner(), "http", 256 * matrix.KIB) == "wrk"
    assert client(Manner(), "https", matrix.MIB) == "wrk"
    assert client(Manner(anew=True), "http", matrix.MIB) == "wrk"
    assert client(Manner(cold=True), "http", matrix.MIB) == "wrk"
    assert client(Manner(client="wrk"), "http", matrix.MIB) == "wrk"


def test_cpu_is_told_for_a_request_and_for_a_gigabyte() -> None:
    measured = report.one_run(Load(1000, 2.0), 1_000_000, CpuTime(0.25, 0.5), 3_000_000)
    assert (measured.requests_per_s, measured.mb_per_s, measured.disk_mb) == (500, 500, 3)
    assert measured.cpu_us_per_request == 750
    assert (measured.user_s_per_gb, measured.system_s_per_gb) == (0.25, 0.5)


def test_each_server_is_compared_with_nginx_and_with_the_best_peer() -> None:
    runs = {"sluice": [run(1), run(300), run(200)], "nginx": [run(100)], "h2o": [run(400)]}
    lines = report.lines(Cell("http", matrix.MIB, 32), runs, "reader")
    assert [line.to_nginx for line in lines] == [2.0, 1.0, 4.0]
    assert [line.to_best_peer for line in lines] == [0.5, 0.25, 1.0]
    assert lines[0].medians.requests_per_s == median((1, 300, 200))
    alone = report.lines(Cell("http", matrix.MIB, 32), {"sluice": [run(1)]}, "wrk")
    assert (alone[0].to_nginx, alone[0].to_best_peer) == (None, None)
    assert re.search(r"http +1 MiB +32 +200 +100 +400 +2\.00 +0\.50\n", report.table(lines))


def test_every_server_runs_first_once_in_as_many_rounds_as_there_are_servers() -> None:
    peers = ("sluice", "nginx", "h2o")
    rounds = [matrix.turns(peers, number) for number in range(3)]
    assert {order[0] for order in rounds} == set(peers)
    assert all(set(order) == set(peers) for order in rounds)


def test_how_long_a_matrix_takes_is_known_before_it_starts() -> None:
    cells = list(matrix.cells(matrix.SCHEMES, matrix.SIZES, (32,)))
    hot = matrix.expected_s(cells, 6, 5, 2, Manner())
    assert 12 * 6 * 5 * 2 < hot < 12 * 6 * 5 * 3
    assert matrix.expected_s(cells, 6, 5, 2, Manner(cold=True)) > hot


@pytest.mark.parametrize(("text", "size_bytes"), [("4K", 4096), ("64 KiB", 65536), ("2M", 2**21)])
def test_sizes_are_read_as_they_are_shown(text: str, size_bytes: int) -> None:
    assert matrix.parse_size(text) == size_bytes
    assert matrix.parse_size(matrix.label(size_bytes)) == size_bytes


@pytest.mark.parametrize("text", ["", "64", "0K", "4G", "-4K", "K"])
def test_a_size_that_says_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="expected a size like 64K"):
        matrix.parse_size(text)


def test_a_peer_that_is_missing_is_told_with_its_package_and_how_to_go_without() -> None:
    with pytest.raises(Missing, match=r"apt-get install h2o; .* h2o out: --peers sluice$"):
        require(["sluice", "h2o"], (), lambda program: program != "h2o")
    with pytest.raises(Missing, match=r"apt-get install wrk$"):
        require(["sluice"], [("wrk", "wrk")], lambda program: program != "wrk")
    require(["sluice", "h2o"], [("wrk", "wrk")], lambda program: True)


def test_what_a_servers_children_use_is_counted_as_the_servers() -> None:
    busy = "sum(range(30_000_000)); print('done', flush=True); import time; time.sleep(60)"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    with subprocess.Popen([sys.executable, "-c", nested], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"done\n"
        tree = list(process_tree.processes(parent.pid))
        assert len(tree) == 2
        assert process_tree.cpu(parent.pid).total_s > 0.1
        assert process_tree.memory_bytes(parent.pid) > 1_000_000
        process_tree.signal_all(parent.pid, signal.SIGKILL)
