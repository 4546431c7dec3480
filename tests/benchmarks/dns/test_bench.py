"""The benchmark runs; its figures are for quiet machines."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.scenario
def test_the_quick_benchmark_measures_every_kind_of_query(tmp_path: Path) -> None:
    report = tmp_path / "dns.json"
    bench = Path(__file__).with_name("bench.py")
    done = subprocess.run(
        [sys.executable, str(bench), "--quick", "--json", str(report)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [
        each for each in json.loads(report.read_text())["lines"] if each["server"] == "sluice-dns"
    ]
    assert len(lines) == 3
    assert all(each["queries_per_s"] > 0 and each["cpu_us_per_query"] > 0 for each in lines)
