"""Runs `reader.py` on the clients' core: few calls for many bytes, in the clear, connections kept."""

import json
import subprocess
import sys

from benchmarks.serving.clients.load import CLIENT_CORE, HERE, Load, LoadFailed
from benchmarks.serving.matrix import KIB

# From here on it is the one that bounds a server less; below, its Python costs more than wrk's calls.
FROM_BYTES = 64 * KIB


def run_reader(
    url: str, connections: int, seconds: int, *, range_bytes: int = 0, whole_bytes: int = 0
) -> Load:
    """Loads `url`, or ranges of so many bytes of it. Raises LoadFailed."""
    argv = ["taskset", "-c", CLIENT_CORE, sys.executable, "-S", str(HERE / "reader.py")]
    argv += ["--connections", str(connections), "--seconds", str(seconds)]
    argv += ["--range-bytes", str(range_bytes), "--whole-bytes", str(whole_bytes), url]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LoadFailed(done.stderr[-1000:])
    said = json.loads(done.stdout)
    return Load(said["requests"], said["seconds"], said["p50_ms"], said["p99_ms"])
