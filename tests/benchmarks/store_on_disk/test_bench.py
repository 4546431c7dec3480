"""The benchmark runs; its figures are for a machine that does nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent / "bench.py"


@pytest.mark.scenario
def test_the_benchmark_of_the_store_on_disk_measures_all_that_it_names(tmp_path: Path) -> None:
    report = tmp_path / "store.json"
    words = [
        sys.executable,
        str(BENCH),
        "--quick",
        "--folder",
        str(tmp_path),
        "--json",
        str(report),
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(report.read_text())["found"]
    assert all(found[name] > 0 for name in found if name != "memory_bytes_per_object")
    assert "import_kept" in done.stdout
