"""A serving worker without one of its parts, for `ablation.py` alone: the product has no such switch.

`ablated.py PART ...` starts the product's pool, whose workers are this program again: they put something
plainer in the part's place and go on as `sluice_appliance.serving.main`.
"""

import argparse
import asyncio
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, NamedTuple

from sluice_appliance.metrics import serving_counters
from sluice_appliance.serving import main as worker_process
from sluice_appliance.serving import pool, tls, worker
from sluice_appliance.serving.hot import Hot, HotAnswer
from sluice_appliance.serving.memo import Fields, HeadMemo
from sluice_appliance.serving.objects import Cold, Missing, OpenObject, OpenObjects
from sluice_appliance.serving.pool import ServingPool
from sluice_appliance.serving.popularity import Popularity
from sluice_appliance.serving.read_ahead import ReadAhead, Source
from sluice_appliance.serving.request import Response
from sluice_appliance.serving.settings import ServingSettings
from sluice_appliance.serving.tcp_path import bound_unsent
from sluice_appliance.serving.tls import TlsWire
from sluice_appliance.serving.unsent import FLOOR_BYTES
from sluice_appliance.serving.wire import TOGETHER_BYTES_MAX, PlainWire, send_file
from sluice_appliance.store.layout import BODY_OFFSET
from sluice_runtime.addresses import parse_address
from sluice_runtime.lifecycle import ProcessSpec, stop_signals

# What a server without `sendfile` reads at once.
_COPY_BYTES = 256 * 1024
_RECORD_BYTES = 16 * 1024
_AS_WORKER = "--as-worker"


class CopyingWire(PlainWire):
    """Reads the file and sends what it read."""

    __slots__ = ()

    def send_with_body(self, head: bytes, source: OpenObject, offset: int, length: int) -> int:
        if length <= TOGETHER_BYTES_MAX:
            return super().send_with_body(head, source, offset, length)
        sent = self.send(head, more=True)
        return sent + self.send_body(source, offset, length) if sent == len(head) else sent

    def send_body(self, source: OpenObject, offset: int, length: int) -> int:
        body = os.pread(source.fd, min(length, _COPY_BYTES), BODY_OFFSET + offset)
        return self.send(body, more=False)


class SeparateWire(PlainWire):
    """Head and body leave by a call each, MSG_MORE between them, at every size."""

    __slots__ = ()
    _more = True

    def send_with_body(self, head: bytes, source: OpenObject, offset: int, length: int) -> int:
        sent = self.send(head, more=self._more)
        if sent < len(head):
            return sent
        return sent + send_file(self.fd, source, offset, length)


class ImpatientWire(SeparateWire):
    """Head and body leave by calls, and packets, of their own."""

    __slots__ = ()
    _more = False


class RecordByRecordWire(TlsWire):
    """Ciphers and sends one record at a time."""

    __slots__ = ()

    def send_with_body(self, head: bytes, source: OpenObject, offset: int, length: int) -> int:
        return super().send_with_body(head, source, offset, min(length, _RECORD_BYTES))

    def send_body(self, source: OpenObject, offset: int, length: int) -> int:
        return super().send_body(source, offset, min(length, _RECORD_BYTES))


class ForgetfulHot(Hot):
    """Keeps no answer."""

    __slots__ = ()

    def keep(self, data: bytes, answer: HotAnswer) -> None:
        pass


class ForgetfulObjects(OpenObjects):
    """Opens an object for each request."""

    def find_open(self, target: bytes, now: float) -> OpenObject | None:
        return None

    def find(self, target: bytes, now: float) -> OpenObject | Missing | Response | Cold:
        if target in self._open:
            self._forget(target)
        return super().find(target, now)


class BlindReadAhead(ReadAhead):
    """Sends whatever is asked for at once: where it is not in memory, the whole worker waits."""

    __slots__ = ()

    def reach(self, source: Source, offset: int, end: int, now: float) -> int:
        return end


class ForgetfulMemo(HeadMemo):
    """Has every request parsed."""

    def recall(self, data: bytes) -> tuple[bytes, Fields] | None:
        return None


class Part(NamedTuple):
    """What is taken out: where it stands, its name there, and what stands in for it."""

    where: Any
    name: str
    plainer: Any
    # Where its absence is felt: over which scheme, and whether only when the disk is needed.
    scheme: str = "http"
    cold: bool = False


PARTS = {
    "sendfile": Part(worker, "PlainWire", CopyingWire),
    "MSG_MORE": Part(worker, "PlainWire", ImpatientWire),
    "head-with-body": Part(worker, "PlainWire", SeparateWire),
    "open-file-cache": Part(worker, "OpenObjects", ForgetfulObjects),
    "kept-answers": Part(worker, "Hot", ForgetfulHot),
    "small-buffers": Part(
        pool, "bound_listener", lambda listener: bound_unsent(listener, FLOOR_BYTES)
    ),
    "head-memo": Part(worker, "HeadMemo", ForgetfulMemo),
    "uvloop": Part(worker_process, "uvloop", SimpleNamespace(run=asyncio.run)),
    "read-ahead": Part(worker, "ReadAhead", BlindReadAhead, cold=True),
    "many-records-a-call": Part(tls, "TlsWire", RecordByRecordWire, scheme="https"),
}


class AblatedPool(ServingPool):
    """Starts this program where the product's pool starts a worker."""

    part = ""

    def _spec(self, number: int, listener: socket.socket, generation: int) -> ProcessSpec:
        spec = super()._spec(number, listener, generation)
        module = spec.argv.index("-m")
        handed_over = spec.argv[module + 2 :]
        return replace(spec, argv=(sys.executable, __file__, _AS_WORKER, self.part, *handed_over))


def main() -> None:
    if sys.argv[1] == _AS_WORKER:
        _, _, name, *handed_over = sys.argv
        _take_out(name)
        sys.argv[1:] = handed_over
        worker_process.main()
    else:
        _serve(_arguments())


def _take_out(name: str) -> None:
    part = PARTS[name]
    assert hasattr(part.where, part.name), f"{part.where} has no {part.name} to do without"
    setattr(part.where, part.name, part.plainer)


def _serve(arguments: argparse.Namespace) -> None:
    # Some parts are the pool's: the sockets.
    _take_out(arguments.part)
    ablated = AblatedPool(
        ServingSettings(
            store=arguments.store,
            tls_certificate=arguments.tls_cert,
            tls_key=arguments.tls_key,
        ),
        parse_address(arguments.listen),
        1,
        serving_counters(1),
        Popularity(2),
    )
    ablated.part = arguments.part
    ablated.bind()
    asyncio.run(_until_told(ablated.run))


async def _until_told(run: Callable[[], Any]) -> None:
    with stop_signals() as stop:
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(run())
            await stop.wait()
            serving.cancel()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--store", required=True, metavar="DIR")
    parser.add_argument("--listen", required=True, metavar="HOST:PORT")
    parser.add_argument("--tls-cert", default="", metavar="FILE")
    parser.add_argument("--tls-key", default="", metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    main()
