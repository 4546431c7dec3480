"""The benchmarks beside the table run in their small forms; their figures are for a quiet machine."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks.serving.ablated import PARTS

HERE = Path(__file__).parent


def quick(program: str, report: Path, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(HERE / program), "--quick", "--json", str(report), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(report.read_text())
    return found


@pytest.mark.scenario
def test_full_and_resumed_handshakes_are_measured_beside_nginx(tmp_path: Path) -> None:
    found = quick("handshakes.py", tmp_path / "found.json", "--peers", "sluice,nginx")
    by = {(line["handshakes"], line["server"]): line for line in found["lines"]}
    assert set(by) == {(kind, who) for kind in ("full", "resumed") for who in ("sluice", "nginx")}
    assert all(line["seen_per_s"] > 0 and line["cpu_us"] > 0 for line in found["lines"])
    across = found["across_workers"]
    assert 0 < across["resumed"] <= across["reconnects"]


@pytest.mark.scenario
def test_idle_connections_stay_open_and_their_memory_is_told(tmp_path: Path) -> None:
    found = quick("idle.py", tmp_path / "found.json")
    assert [line["server"] for line in found["lines"]] == ["sluice", "nginx"]
    for line in found["lines"]:
        # What is wrong by a factor of ten is no measurement of a connection.
        assert line["bytes_per_connection"] < 50_000
        assert line["among_idle_per_s"] > 0


@pytest.mark.scenario
def test_a_store_of_many_objects_is_made_and_served_hot_and_at_random(tmp_path: Path) -> None:
    found = quick("many_objects.py", tmp_path / "found.json", "--folder", str(tmp_path))
    assert [(line["store"], line["asked_for"]) for line in found["lines"]] == [
        (10, 10),
        (10_000, 10),
        (10_000, 10_000),
    ]
    assert all(line["requests_per_s"] > 0 for line in found["lines"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["found.json"]


@pytest.mark.scenario
def test_the_worker_serves_without_each_of_its_parts_beside_the_whole_one(tmp_path: Path) -> None:
    found = quick("ablation.py", tmp_path / "found.json")
    measured = {line["part"] for line in found["lines"]}
    assert measured == {"", *PARTS}
    assert {line["manner"] for line in found["lines"]} == {"http", "https", "cold"}
    assert all(line["requests_per_s"] > 0 for line in found["lines"])
