"""What telling costs a request that is not recorded, with room for a busy machine."""

import re
import subprocess
import sys
from pathlib import Path

COST = Path(__file__).parent / "telling_cost.py"


def test_a_hit_is_counted_for_its_object_in_less_than_a_microsecond() -> None:
    done = subprocess.run(
        [sys.executable, str(COST)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    costs_us = {
        what.strip(): float(us)
        for us, what in re.findall(r"^ *([0-9.]+) us  (\w+)", done.stdout, re.MULTILINE)
    }
    assert costs_us["popularity"] < 1, done.stdout
