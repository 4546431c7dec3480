"""SIGKILL in the middle of a fill, again and again: the store holds only whole, verified objects."""

import contextlib
import hashlib
import http.server
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from scenarios.small_fleet import configure_box, small_fleet
from scenarios.stack import until

from sluice_appliance.store import layout

OBJECTS = {f"{name}.mp4": random.Random(name).randbytes(300_000) for name in "abcdef"}
KILLS = 12
SEED = 20261123
PIECE_BYTES = 10_000


class SlowSource(http.server.BaseHTTPRequestHandler):
    """Sends in small pieces and says how much it has sent, so that a kill can be aimed at a fill."""

    protocol_version = "HTTP/1.1"
    sent_bytes = 0

    @classmethod
    def has_sent(cls, size_bytes: int) -> bool:
        return cls.sent_bytes > size_bytes

    def do_GET(self) -> None:
        body = OBJECTS[self.path.rpartition("/")[2]]
        first = int((self.headers.get("Range") or "bytes=0-")[6:].partition("-")[0])
        self.send_response(206)
        self.send_header("Content-Length", str(len(body) - first))
        self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        for start in range(first, len(body), PIECE_BYTES):
            try:
                self.wfile.write(body[start : start + PIECE_BYTES])
                self.wfile.flush()
            except OSError:
                self.close_connection = True
                return
            SlowSource.sent_bytes += PIECE_BYTES
            time.sleep(0.01)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving_slowly() -> Iterator[int]:
    """On a free port while the block runs."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), SlowSource)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_box_killed_twelve_times_in_its_fill_holds_only_whole_objects_and_completes(
    tmp_path: Path,
) -> None:
    rng = random.Random(SEED)
    # The kills together come before the end of the film, so that each of them lands in the fill.
    share_bytes = sum(map(len, OBJECTS.values())) // (KILLS + 2)
    with (
        serving_slowly() as port,
        small_fleet(tmp_path, origin_url=f"http://127.0.0.1:{port}/") as fleet,
    ):
        fleet.publish("film", OBJECTS)
        box = configure_box(fleet, "box", "127.0.40.1", fleet.add_box("box"))
        store = box.home / "store"
        half_there = 0
        for _ in range(KILLS):
            kill_at = SlowSource.sent_bytes + rng.randint(0, share_bytes)
            process = box.start(fleet)
            until(
                "the fill goes on",
                partial(SlowSource.has_sent, kill_at),
                within_s=30,
                every_s=0.002,
            )
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            half_there += any((store / "partial").iterdir())
            assert_only_whole_objects(store / "objects")
        assert half_there >= KILLS // 2, f"the kills missed the fill (seed {SEED})"
        box.start(fleet)
        until(
            "every object is served",
            lambda: all(box.get(f"film/v1/{name}") == OBJECTS[name] for name in OBJECTS),
            within_s=60,
        )
        assert_only_whole_objects(store / "objects")


def assert_only_whole_objects(objects: Path) -> None:
    """Reads the disk without the store's own code but for the header's layout."""
    for path in objects.rglob("*") if objects.exists() else ():
        if path.is_file():
            content = path.read_bytes()
            header, version = layout.decode_page(content[: layout.BODY_OFFSET])
            assert len(content) == layout.file_bytes(header.size_bytes, version), (path, SEED)
            body = content[layout.BODY_OFFSET :][: header.size_bytes]
            assert hashlib.sha256(body).digest() == header.sha256, (path, SEED)
