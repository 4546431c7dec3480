"""On what was measured: the machine, and the version that each program tells of itself."""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.serving.peers.roster import ROSTER
from benchmarks.serving.peers.running import PATH

_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)?")


def machine(peers: Sequence[str]) -> dict[str, str]:
    cpu = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    facts = {
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "openssl": _version(("openssl", "version")),
    }
    for name in peers:
        entry = ROSTER[name]
        if entry.version:
            facts[name] = _version((entry.program, *entry.version))
    return facts


def told(facts: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def _version(argv: Sequence[str]) -> str:
    # Some say it on one stream, some on the other, one after where its folders are.
    said = subprocess.run(
        argv, capture_output=True, text=True, check=False, env={**os.environ, "PATH": PATH}
    )
    found = _VERSION.search(said.stdout + said.stderr)
    return found[0] if found else "unknown"
