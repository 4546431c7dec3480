"""Publishes one object, and kills itself with SIGKILL before the n-th step on disk if asked to."""

import argparse
import hashlib
import os
import random
import signal
from pathlib import Path

from sluice_appliance.object_key import parse_key
from sluice_appliance.store.disk import RealDisk
from sluice_appliance.store.store import Store

KEY = parse_key("film/v1/h264-720p.mp4")
BODY = random.Random(7).randbytes(200_000)


class DeadlyDisk(RealDisk):
    def __init__(self, kill_at_step: int) -> None:
        self._left = kill_at_step

    def _step(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def open_for_writing(self, path: str) -> int:
        self._step()
        return super().open_for_writing(path)

    def write(self, descriptor: int, data: memoryview, offset: int) -> int:
        self._step()
        return super().write(descriptor, data[:20_000], offset)

    def sync(self, descriptor: int) -> None:
        self._step()
        super().sync(descriptor)

    def rename(self, source: str, target: str) -> None:
        self._step()
        super().rename(source, target)

    def make_folder(self, path: str) -> None:
        self._step()
        super().make_folder(path)

    def sync_folder(self, path: str) -> None:
        self._step()
        super().sync_folder(path)

    def remove(self, path: str) -> None:
        self._step()
        super().remove(path)


def put(store: Store) -> None:
    partial = store.begin(KEY, len(BODY), hashlib.sha256(BODY).digest(), "video/mp4")
    partial.write(BODY[partial.received_bytes :])
    partial.publish()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("--kill-at-step", type=int, default=0)
    parser.add_argument("--for-ever", action="store_true")
    arguments = parser.parse_args()
    with Store.open(arguments.root, disk=DeadlyDisk(arguments.kill_at_step)) as store:
        print("begun", flush=True)
        put(store)
        while arguments.for_ever:
            store.delete(KEY)
            put(store)


if __name__ == "__main__":
    main()
