"""How fast an object is filled from a source on this machine, beside `curl -o` and `dd`, in turns.

    make bench-fill

The source is `sluice-appliance serve` with the object in its memory. `curl` takes it to a file and syncs it, `dd`
copies as many bytes to a file and syncs it: the smaller of the two is what the link and the disk give.
The fill fetches, verifies block by block and as a whole, and publishes durably; the CPU it takes says more
than its rate where the machine does something else too. `--serving` measures what serving has of it instead
(`beside.py`). `--quick` shows that it works, not how fast anything is.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# Run as a script, not by pytest: the tests' folder is where our packages begin.
sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.fill import beside
from benchmarks.fill.filling import KEY, fill
from benchmarks.fill.sources import Film, make_film, serving


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name).absolute()
        film = make_film(folder, arguments.mib)
        measure = _measure_serving if arguments.serving else _measure_rates
        found = measure(folder, film, arguments)
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(found, indent=1))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mib", type=int, default=256, help="size of what is filled")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path(), help="on the disk to measure")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serving", action="store_true", help="what fill takes from viewers")
    parser.add_argument("--hot-kib", type=int, default=256, help="size of what viewers ask for")
    parser.add_argument("--requests-per-s", type=float, default=200.0)
    # Of 1200 requests a dozen are beyond the 99th percentile; all ways and rounds take less than 3 minutes.
    parser.add_argument("--seconds", type=float, default=6.0, help="of each way in each round")
    parser.add_argument("--ablate", action="store_true", help="beside fill that stands not back")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.mib, arguments.rounds, arguments.seconds = 8, 1, 0.5
    return arguments


def _measure_serving(folder: Path, film: Film, arguments: argparse.Namespace) -> object:
    effort = beside.Effort(
        arguments.rounds, arguments.seconds, arguments.requests_per_s, arguments.hot_kib << 10
    )
    ways = (*beside.WAYS, *([beside.ABLATED] if arguments.ablate else []))
    seen = beside.measure(folder, film, effort, ways)
    sys.stdout.write(beside.table(seen))
    return {name: [one._asdict() for one in ones] for name, ones in seen.items()}


def _measure_rates(folder: Path, film: Film, arguments: argparse.Namespace) -> object:
    rates, cpu_ms_per_mib = _rates(folder, film, arguments.mib, arguments.rounds)
    medians = {what: statistics.median(of) for what, of in rates.items()}
    share = medians["fill"] / min(medians["curl"], medians["dd"])
    for what, rate in medians.items():
        sys.stdout.write(f"{what:6} {rate:8.0f} MiB/s\n")
    cpu_ms = statistics.median(cpu_ms_per_mib)
    sys.stdout.write(
        f"fill is {share:.2f} of the smaller of link and disk, {cpu_ms:.2f} ms of CPU a MiB\n"
    )
    return {"mib_per_s": rates, "share": share, "fill_cpu_ms_per_mib": cpu_ms_per_mib}


def _rates(
    folder: Path, film: Film, mib: int, rounds: int
) -> tuple[dict[str, list[float]], list[float]]:
    """Of each way, a rate a round; and what the fill took of CPU, without the source and `rm`."""
    cpu_ms_per_mib: list[float] = []

    def once(url: str) -> None:
        before_s = time.process_time()
        asyncio.run(fill(folder / "store", url, film.header, film.digests))
        cpu_ms_per_mib.append((time.process_time() - before_s) * 1e3 / mib)

    with serving(film.store) as url:
        ways: dict[str, Callable[[], None]] = {
            "curl": lambda: _run(folder, f"curl -sfo out '{url}{KEY}' && sync out"),
            "dd": lambda: _run(folder, "dd if=a.mp4 of=out bs=1M conv=fsync status=none"),
            "fill": lambda: once(url),
        }
        rates: dict[str, list[float]] = {what: [] for what in ways}
        for _ in range(rounds):
            for what, way in ways.items():
                _run(folder, "rm -rf out store; sync .")
                began_at = time.perf_counter()
                way()
                rates[what].append(mib / (time.perf_counter() - began_at))
        return rates, cpu_ms_per_mib


def _run(folder: Path, command: str) -> None:
    subprocess.run(command, shell=True, check=True, cwd=folder)


if __name__ == "__main__":
    main()
