"""`openssl s_time` on the clients' core: a connection for each request, its handshake full or resumed.

One process does one connection at a time, so several run beside each other. A client's half of a full
handshake costs more than a server's: the server's own CPU time says what it could do, the rate what
these clients asked of it.
"""

import os
import re
import subprocess
import time
from enum import Enum

from benchmarks.serving.clients.load import CLIENT_CORE, OPENSSL, Load, LoadFailed

# More would wait for the clients' core, not for the server.
PROCESSES_MAX = 4


class Handshakes(Enum):
    FULL = "-new"
    RESUMED = "-reuse"


def run_openssl(
    port: int, name: str, size_bytes: int, handshakes: Handshakes, processes: int, seconds: int
) -> Load:
    """Fetches `/name` over connections of their own. Raises LoadFailed."""
    argv = ["taskset", "-c", CLIENT_CORE, "openssl", "s_time", "-connect", f"127.0.0.1:{port}"]
    argv += [handshakes.value, "-time", str(seconds), "-www", f"/{name}"]
    environment = {**os.environ, **OPENSSL}
    began_s = time.monotonic()
    running = [
        subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        for _ in range(min(processes, PROCESSES_MAX))
    ]
    said = [process.communicate()[0] for process in running]
    took_s = time.monotonic() - began_s
    return Load(sum(read_openssl(each, size_bytes) for each in said), took_s)


def read_openssl(said: str, size_bytes: int) -> int:
    """How many connections there were. Raises LoadFailed where they did not bring the object."""
    # The second of its two sums is by the wall clock; a resumed run's warm-up is not in it.
    found = re.findall(r"(\d+) connections in \d+ real seconds, (\d+) bytes read per", said)
    if not found or int(found[-1][0]) == 0 or int(found[-1][1]) < size_bytes:
        raise LoadFailed(f"connections failed; openssl s_time said:\n{said[-500:]}")
    return int(found[-1][0])
