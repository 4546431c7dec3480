"""wrk on the clients' core: one thread, many connections, latencies from request to last byte."""

import os
import re
import subprocess
from collections.abc import Sequence

from benchmarks.serving.clients.load import CLIENT_CORE, HERE, OPENSSL, Load, LoadFailed

# Of 256 connections that share one core's disk, one may wait long.
_TIMEOUT = "20s"
_UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


def run_wrk(
    url: str,
    connections: int,
    seconds: int,
    *,
    anew: bool = False,
    script: str = "",
    arguments: Sequence[str] = (),
    may_refuse: bool = False,
) -> Load:
    """Loads `url`; `anew` takes a connection for each request. Raises LoadFailed, unless it `may_refuse`
    also for a server that sheds what its disk does not bear.

    Over TLS a new connection of wrk resumes the session of the one before: full handshakes are
    `openssl_client`'s.
    """
    argv = ["taskset", "-c", CLIENT_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}"]
    argv += ["--latency", "--timeout", _TIMEOUT]
    if anew:
        argv += ["-H", "Connection: close"]
    if script:
        argv += ["-s", str(HERE / script)]
    done = subprocess.run(
        [*argv, url, "--", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **OPENSSL},
    )
    if done.returncode != 0:
        raise LoadFailed(f"{' '.join(argv)} {url}: {done.stdout}{done.stderr}")
    return read_wrk(done.stdout, may_refuse=may_refuse)


def read_wrk(said: str, *, may_refuse: bool = False) -> Load:
    """What wrk printed. Raises LoadFailed where requests failed or none was answered."""
    found = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m),", said)
    others = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    refused = int(others[1]) if others else 0
    requests = int(found[1]) - refused if found else 0
    if found is None or not requests or (refused and not may_refuse) or "Socket errors" in said:
        raise LoadFailed(f"requests failed; wrk said:\n{said}")
    # wrk waits out its time where a script has ended the run before.
    ended = re.search(r"all were asked for in ([\d.]+) s", said)
    return Load(
        requests,
        float(ended[1]) if ended else float(found[2]) * _UNITS_MS[found[3]] / 1000,
        _percentile_ms(said, 50),
        _percentile_ms(said, 99),
        refused,
    )


def _percentile_ms(said: str, percent: int) -> float:
    found = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s|m)$", said, re.MULTILINE)
    if found is None:
        raise LoadFailed(f"no {percent}th percentile; wrk said:\n{said}")
    return float(found[1]) * _UNITS_MS[found[2]]
