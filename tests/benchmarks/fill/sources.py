"""The source that is filled from: an appliance of ours with one object, and the facts of that object."""

import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

# Run as scripts, not by pytest: the tests' folder is where our packages begin.
sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.fill.filling import KEY

from sluice_appliance.store.blocks import block_digests
from sluice_appliance.store.layout import ObjectHeader

PROGRAM = Path(sys.executable).parent / "sluice-appliance"


class Film(NamedTuple):
    """What is filled, as a plain file and as a store holds it."""

    plain: Path
    store: Path
    # For another process.
    facts: Path
    header: ObjectHeader
    digests: bytes


def make_film(folder: Path, mib: int) -> Film:
    rng = random.Random(1)
    body = b"".join(rng.randbytes(1 << 20) for _ in range(mib))
    header = ObjectHeader(KEY, len(body), hashlib.sha256(body).digest(), "video/mp4")
    film = Film(folder / "a.mp4", folder / "source", folder / "facts", header, block_digests(body))
    film.plain.write_bytes(body)
    film.facts.write_text(
        json.dumps(
            {
                "size_bytes": len(body),
                "sha256": header.sha256.hex(),
                "blocks": film.digests.hex(),
            }
        )
    )
    put(film.store, KEY, film.plain)
    return film


def put(store: Path, key: str, file: Path) -> None:
    words = [str(PROGRAM), "import", "--store", str(store), "--key", key, str(file)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def serving(store: Path, prefix: Sequence[str] = ()) -> Iterator[str]:
    """The URL of a server with one worker, its log thrown away."""
    words = ["serve", "--store", str(store), "--listen", "127.0.0.1:0", "--workers", "1"]
    with subprocess.Popen(
        [*prefix, PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().split()[-1] + "/"
        finally:
            server.terminate()
            server.wait()
