"""What a store on disk costs: to start over 1,000,000 objects, to look one up, to import and to verify.

Start: from the command to the first byte of an object. Look-up: in this process, of objects that are open
and of such as are opened from memory. Memory: of a worker that has served as many objects of a store of a
million as of one of ten thousand. Import and verify beside `dd` and `sha256sum` run one after the other, in
turns, with nothing of the file in memory when each begins.
"""

import argparse
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

# Run as a script, not by pytest: the tests' folder is where our packages begin.
sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.serving import telling
from benchmarks.serving.machine import machine, told
from benchmarks.serving.many_objects import make_store
from benchmarks.serving.process_tree import memory_bytes

from sluice_appliance.serving import tally
from sluice_appliance.serving.objects import OpenObject, OpenObjects
from sluice_appliance.serving.popularity import Popularity
from sluice_appliance.serving.residency import Residency
from sluice_appliance.store.disks import DiskPlace
from sluice_appliance.store.layout import object_path, parse_key

MANY = 1_000_000
FEW = 10_000
QUICK = 1_000
FILE_BYTES = 1 << 30
_SERVED = 5_000
_PROGRAM = (sys.executable, "-m", "sluice_appliance.main")
_TIMEOUT_S = 600


@dataclass(frozen=True, slots=True)
class Found:
    """Medians of the rounds."""

    objects: int
    start_s: float
    known_us_p99: float
    opened_us_p99: float
    # What each object that the store has more costs its worker.
    memory_bytes_per_object: float
    # Of what `dd` and `sha256sum` take one after the other: above 1, ours is the faster.
    import_kept: float
    verify_kept: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=MANY, help="in the large store")
    parser.add_argument("--file-bytes", type=int, default=FILE_BYTES, help="of what is imported")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each (default: 5)")
    parser.add_argument("--quick", action="store_true", help="a small form: shows that it works")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where (default: in $TMPDIR)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.objects, arguments.file_bytes, arguments.rounds = QUICK, 4 << 20, 1
    facts = machine(["sluice"])
    sys.stdout.write(f"{arguments.rounds} run(s); {told(facts)}\n")
    with tempfile.TemporaryDirectory(prefix="sluice-bench-", dir=arguments.folder) as folder:
        found = measure(Path(folder), arguments.objects, arguments.file_bytes, arguments.rounds)
        lines = (f"{name:26} {value:,.2f}\n" for name, value in asdict(found).items())
        sys.stdout.write("".join(lines))
        sys.stdout.flush()
        telling.write_json(arguments.json, {"machine": facts, "found": asdict(found)})
        # Minutes, where there are a million.
        telling.progress("removing the stores")
    return 0


def measure(folder: Path, objects: int, file_bytes: int, rounds: int) -> Found:
    few = min(FEW, objects // 2)
    for count in (few, objects):
        telling.progress(f"making a store of {count:,} objects")
        make_store(folder / str(count), count)
    telling.progress("starting over them")
    starts, memory = zip(
        *(_started(folder / str(objects), objects) for _ in range(rounds)), strict=True
    )
    memory_of_few = [_started(folder / str(few), few)[1] for _ in range(rounds)]
    telling.progress("looking up")
    known, opened = _looked_up(folder / str(objects), objects)
    telling.progress("importing and verifying")
    imports, verifies = _moved(folder / "moved", file_bytes, rounds)
    return Found(
        objects,
        median(starts),
        known,
        opened,
        (median(memory) - median(memory_of_few)) / (objects - few),
        imports,
        verifies,
    )


# --- start and memory -----------------------------------------------------------------------------


def _started(root: Path, count: int) -> tuple[float, float]:
    """(seconds to the first byte of an object, bytes of memory when some thousand were served)."""
    words = ("serve", "--store", str(root), "--listen", "127.0.0.1:0", "--workers", "1")
    began_s = time.perf_counter()
    with subprocess.Popen((*_PROGRAM, *words), stdout=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout is not None
            port = int(serving.stdout.readline().rsplit(":", 1)[1].rstrip("/\n"))
            with closing(socket.create_connection(("127.0.0.1", port), _TIMEOUT_S)) as client:
                _ask(client, count - 1)
                taken_s = time.perf_counter() - began_s
                for number in random.Random(1).choices(range(count), k=min(_SERVED, count)):
                    _ask(client, number)
            return taken_s, memory_bytes(serving.pid)
        finally:
            serving.terminate()


def _ask(client: socket.socket, number: int) -> None:
    """Returns when the whole object has come."""
    client.sendall(b"GET /bench/v1/%d.mp4 HTTP/1.1\r\nHost: a\r\n\r\n" % number)
    head, _, body = b"", b"", b""
    while b"\r\n\r\n" not in head:
        head += client.recv(65536)
    head, _, body = head.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    while len(body) < 4096:
        body += client.recv(65536)


# --- look-up --------------------------------------------------------------------------------------


def _looked_up(root: Path, count: int) -> tuple[float, float]:
    """Microseconds within which 99 of 100 objects are found: open ones, and ones in memory."""
    row = memoryview(bytearray(tally.CELLS * 8)).cast("Q")
    rng = random.Random(2)
    numbers = rng.sample(range(count), min(_SERVED, count))
    place = DiskPlace(str(root), "")
    for number in numbers:  # in memory, as what was asked for before is
        Path(object_path(str(root), parse_key(f"bench/v1/{number}.mp4"))).read_bytes()
    objects = OpenObjects((place,), len(numbers), row, Popularity(1).claim(), Residency())
    targets = [b"/bench/v1/%d.mp4" % number for number in numbers]
    try:
        opened = [_timed(objects, target) for target in targets]
        rng.shuffle(targets)
        known = [_timed(objects, target) for target in targets * 4]
    finally:
        objects.close()
    return _p99(known), _p99(opened)


def _timed(objects: OpenObjects, target: bytes) -> float:
    began_ns = time.perf_counter_ns()
    found = objects.find(target, 1.0)
    taken_ns = time.perf_counter_ns() - began_ns
    assert isinstance(found, OpenObject), found
    return taken_ns / 1000


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[len(values) * 99 // 100]


# --- import and verify ----------------------------------------------------------------------------


def _moved(folder: Path, file_bytes: int, rounds: int) -> tuple[float, float]:
    """How fast import and verify are, of `dd` and `sha256sum` one after the other."""
    folder.mkdir()
    file, copy, store = folder / "file", folder / "copy", folder / "store"
    with file.open("wb") as made:
        for start in range(0, file_bytes, 1 << 20):
            made.write(os.urandom(min(1 << 20, file_bytes - start)))
    key = "bench/v1/moved.mp4"
    stored = Path(object_path(str(store), parse_key(key)))
    put = (*_PROGRAM, "import", "--store", str(store), "--key", key, str(file))
    verify = (*_PROGRAM, "store", "verify", "--whole", "--store", str(store))
    to_copy = ("dd", f"if={file}", f"of={copy}", "bs=1M", "conv=fsync", "status=none")
    times: dict[str, list[float]] = {"put": [], "copied": [], "verified": [], "read": []}
    for _ in range(rounds):
        copy.unlink(missing_ok=True)
        times["copied"].append(_took([to_copy, ("sha256sum", str(copy))], file))
        stored.unlink(missing_ok=True)
        times["put"].append(_took([put], file))
        to_read = ("dd", f"if={stored}", "of=/dev/null", "bs=1M", "status=none")
        times["read"].append(_took([to_read, ("sha256sum", str(stored))], stored))
        times["verified"].append(_took([verify], stored))
    took = {name: median(each) for name, each in times.items()}
    return took["copied"] / took["put"], took["read"] / took["verified"]


def _took(commands: Sequence[Sequence[str]], file: Path) -> float:
    """Seconds, the file's pages let go of before."""
    os.sync()
    descriptor = os.open(file, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
    began_s = time.perf_counter()
    for command in commands:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=_TIMEOUT_S)
    return time.perf_counter() - began_s


if __name__ == "__main__":
    sys.exit(main())
