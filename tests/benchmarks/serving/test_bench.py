"""The benchmark runs; its figures are for a machine that does nothing else."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks.serving.peers.roster import ROSTER, installed

BENCH = Path(__file__).parent / "bench.py"


def bench(report: Path, *arguments: str) -> tuple[list[dict[str, Any]], str]:
    done = subprocess.run(
        [sys.executable, str(BENCH), "--quick", "--json", str(report), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(report.read_text())["lines"], done.stdout


@pytest.mark.scenario
def test_the_serving_benchmark_measures_both_servers_over_http_and_tls(tmp_path: Path) -> None:
    lines, said = bench(tmp_path / "serving.json", "--peers", "sluice,nginx")
    assert {(line["scheme"], line["size"], line["server"]) for line in lines} == {
        (scheme, size, server)
        for scheme in ("http", "https")
        for size in ("64 KiB", "1 MiB")
        for server in ("sluice", "nginx")
    }
    assert all(line["medians"]["requests_per_s"] > 0 for line in lines)
    assert all(line["medians"]["p99_ms"] >= line["medians"]["p50_ms"] for line in lines)
    assert "x nginx" in said


@pytest.mark.scenario
@pytest.mark.parametrize("manner", ["--ranges", "--new", "--cold"])
def test_the_serving_benchmark_measures_other_manners_of_asking(
    tmp_path: Path, manner: str
) -> None:
    schemes = "https" if manner == "--new" else "http"
    few = ("--peers", "sluice,nginx", "--sizes", "256K", "--schemes", schemes)
    lines, _ = bench(tmp_path / "serving.json", manner, *few)
    assert [line["server"] for line in lines] == ["sluice", "nginx"]
    assert all(line["medians"]["requests_per_s"] > 0 for line in lines)


@pytest.mark.scenario
@pytest.mark.parametrize("name", [name for name in ROSTER if name not in ("sluice", "nginx")])
def test_every_other_peer_that_is_installed_gives_the_objects_own_bytes(
    tmp_path: Path, name: str
) -> None:
    if not installed(ROSTER[name].program):
        pytest.skip(f"{ROSTER[name].package} is not installed; make bench-serving does it")
    schemes = "http" if ROSTER[name].no_tls else "http,https"
    few = ("--peers", f"nginx,{name}", "--sizes", "64K", "--schemes", schemes)
    lines, _ = bench(tmp_path / "serving.json", *few)
    assert {line["server"] for line in lines} == {"nginx", name}
