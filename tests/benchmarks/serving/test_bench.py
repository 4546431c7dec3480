"""The benchmark runs; its figures are for a machine that does nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent / "bench.py"


@pytest.mark.scenario
def test_the_serving_benchmark_measures_both_servers_over_http_and_tls(tmp_path: Path) -> None:
    report = tmp_path / "serving.json"
    done = subprocess.run(
        [sys.executable, str(BENCH), "--quick", "--json", str(report)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = json.loads(report.read_text())["lines"]
    assert {(line["scheme"], line["size"], line["server"]) for line in lines} == {
        (scheme, size, server)
        for scheme in ("http", "https")
        for size in ("64 KiB", "1 MiB")
        for server in ("sluice", "nginx")
    }
    assert all(line["requests_per_s"] > 0 and line["cpu_us_per_request"] >= 0 for line in lines)
    assert "ratio" in done.stdout
