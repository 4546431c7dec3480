"""The benchmark of fill runs; its figures are for a machine that does nothing else."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

BENCH = Path(__file__).parent / "bench.py"


def _quick(folder: Path, *words: str) -> tuple[str, Any]:
    report = folder / "fill.json"
    done = subprocess.run(
        [sys.executable, BENCH, "--quick", "--folder", folder, "--json", report, *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, json.loads(report.read_text())


def test_the_benchmark_of_fill_measures_all_that_it_names(tmp_path: Path) -> None:
    said, found = _quick(tmp_path)
    assert set(found["mib_per_s"]) == {"curl", "dd", "fill"}
    assert "of the smaller of link and disk" in said
    assert found["fill_cpu_ms_per_mib"][0] > 0


def test_what_fill_takes_from_viewers_is_measured_beside_no_fill(tmp_path: Path) -> None:
    said, found = _quick(tmp_path, "--serving", "--requests-per-s", "50")
    assert len(found) == 3
    assert all(one["p99_ms"] >= one["p50_ms"] > 0 for ones in found.values() for one in ones)
    assert "of no fill" in said
