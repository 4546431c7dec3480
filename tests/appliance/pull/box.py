"""A box in one process: a real worker, the real puller, a source on a socket and a catalog made by hand."""

import asyncio
import hashlib
import os
import random
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from aiohttp import web

from sluice_appliance import metrics
from sluice_appliance.fill.http_source import HttpSources
from sluice_appliance.fill.pressure import Load
from sluice_appliance.fill.reputation import Reputation
from sluice_appliance.fill.source_book import SourcesUnknown
from sluice_appliance.fill.sources import Source, SourceKind
from sluice_appliance.fill.tally import FillTally
from sluice_appliance.pull.catalog import Catalog
from sluice_appliance.pull.links import open_door
from sluice_appliance.pull.service import PullService, PullSettings
from sluice_appliance.pull.tally import PullTally
from sluice_appliance.pull.verifying import Located
from sluice_appliance.serving.openssl import Context, TlsFiles
from sluice_appliance.serving.popularity import Popularity
from sluice_appliance.serving.settings import ServingSettings
from sluice_appliance.serving.worker import Worker
from sluice_appliance.store.blocks import block_digests
from sluice_appliance.store.layout import BLOCK_BYTES, ObjectHeader, ObjectKey

MIB = BLOCK_BYTES
NO_LOAD = Load()
KEY = "film/v1/video.mp4"


def body_of(size_bytes: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size_bytes)


def header_of(key: str, body: bytes) -> ObjectHeader:
    return ObjectHeader(ObjectKey(key), len(body), hashlib.sha256(body).digest(), "video/mp4")


class Origin:
    """An HTTP source that counts. `gate`: bytes from `held_from` of an object on wait for it; `cut_at`:
    the connection breaks there; `wrong`: it sends other bytes; `down`: it answers 503,
    with `retry_after`."""

    def __init__(self, bodies: Mapping[str, bytes]) -> None:
        self.bodies = dict(bodies)
        # (key, first byte, byte behind the last) of every request, and who asked.
        self.asked: list[tuple[str, int, int]] = []
        self.loops: list[str] = []
        self.sent_bytes = 0
        self.gate = asyncio.Event()
        self.held_from: int | None = None
        self.cut_at: int | None = None
        self.wrong = self.down = False
        self.retry_after = ""
        self.base_url = ""

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        key = request.match_info["key"]
        body = self.bodies[key]
        asked = request.http_range
        first, end = asked.start or 0, len(body) if asked.stop is None else asked.stop
        self.asked.append((key, first, end))
        self.loops.append(request.headers.get("CDN-Loop", ""))
        if self.down:
            busy = {"Retry-After": self.retry_after} if self.retry_after else {}
            return web.Response(status=503, headers=busy)
        response = web.StreamResponse(status=206)
        response.headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(body)}"
        response.content_length = end - first
        await response.prepare(request)
        part = bytes(end - first) if self.wrong else body[first:end]
        for at in range(0, len(part), 65536):
            if self.cut_at is not None and first + at >= self.cut_at:
                assert request.transport is not None
                request.transport.abort()
                return response
            if self.held_from is not None and first + at >= self.held_from:
                await self.gate.wait()
            piece = part[at : at + 65536]
            await response.write(piece)
            self.sent_bytes += len(piece)
        return response

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_get("/{key:.+}", self._serve)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert runner.addresses
        self.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        try:
            yield
        finally:
            self.gate.set()
            await runner.cleanup()


class Titles:
    """The control plane, as far as a pull asks it."""

    def __init__(self) -> None:
        self.objects: dict[str, Located] = {}
        self.asked: list[str] = []
        self.gone = False

    async def look_up(self, key: str) -> Located | None:
        self.asked.append(key)
        await asyncio.sleep(0)
        if self.gone:
            raise SourcesUnknown("gone")
        return self.objects.get(key)

    def publish(self, key: str, body: bytes, *origins: Origin, digests: bool = True) -> None:
        sources = [
            Source(f"origin-{number}", SourceKind.ORIGIN, origin.base_url)
            for number, origin in enumerate(origins)
        ]
        self.objects[key] = Located(
            header_of(key, body), block_digests(body) if digests else None, sources
        )


class Reply:
    """What a client got so far."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.status = 0
        self.fields: dict[str, str] = {}

    async def head(self) -> "Reply":
        text = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = text.strip().split("\r\n")
        self.status = int(first.split(" ")[1])
        self.fields = dict(line.split(": ", 1) for line in lines)
        return self

    @property
    def length(self) -> int:
        return int(self.fields["Content-Length"])

    async def body(self) -> bytes:
        """All of it. Raises asyncio.IncompleteReadError where it breaks off."""
        return await self._reader.readexactly(self.length)

    async def some(self, size_bytes: int) -> bytes:
        return await self._reader.readexactly(size_bytes)

    async def leave(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


class Box:
    """What a test has of it."""

    def __init__(self, worker: Worker, counters: dict[str, object], port: int) -> None:
        self.worker = worker
        self.titles = Titles()
        self._counters = counters
        self.port = port
        self._replies: list[Reply] = []
        self.pulls: PullService
        # Of clients that come over TLS.
        self.trusts: ssl.SSLContext | None = None

    def count(self, name: str, **labels: str) -> int:
        """A counter of the box, over worker and supervisor."""
        pairs = ",".join(f'{key}="{value}"' for key, value in labels.items())
        full = f"sluice_appliance_{name}" + (f"{{{pairs}}}" if pairs else "")
        return sum(
            counters.totals()[full]  # type: ignore[attr-defined]
            for counters in self._counters.values()
            if full in counters.totals()  # type: ignore[attr-defined]
        )

    async def ask(self, key: str, *lines: str, method: str = "GET") -> Reply:
        """Sends a request; the reply's head may be long in coming, and of the body no more is taken than
        is read."""
        client = socket.create_connection(("127.0.0.1", self.port))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 * 1024)
        client.setblocking(False)
        reader, writer = await asyncio.open_connection(
            sock=client,
            ssl=self.trusts,
            server_hostname=None if self.trusts is None else "localhost",
        )
        fields = "".join(f"{line}\r\n" for line in lines)
        writer.write(f"{method} /{key} HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode())
        reply = Reply(reader, writer)
        self._replies.append(reply)
        return reply

    async def get(self, key: str, first: int | None = None, last: int | None = None) -> Reply:
        """A reply of which the head has come."""
        lines = () if first is None else (f"Range: bytes={first}-{'' if last is None else last}",)
        return await (await self.ask(key, *lines)).head()

    async def leave(self) -> None:
        for reply in self._replies:
            await reply.leave()


def blocks_open() -> int:
    """Descriptors of blocks in this process, the worker's and the puller's."""
    found = 0
    for each in Path("/proc/self/fd").iterdir():
        # The folder's own is gone by now.
        with suppress(FileNotFoundError):
            found += "sluice-block" in os.readlink(each)
    return found


@asynccontextmanager
async def box(
    folder: Path,
    *,
    memory_bytes: int = 64 * MIB,
    flash_bytes: int = 0,
    stall_s: float = 5.0,
    load: Load = NO_LOAD,
    take_flash: Callable[[int], bool] = lambda size_bytes: True,
    joined: bool = True,
    tls: TlsFiles | None = None,
) -> AsyncIterator[Box]:
    """A box that holds what is in `folder/store`, and pulls what its `titles` know."""
    (folder / "store").mkdir(exist_ok=True)
    loop = asyncio.get_running_loop()
    serving, own = metrics.serving_counters(1), metrics.supervisor_counters()
    popularity = Popularity(1)
    ours, theirs = open_door()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    async with HttpSources.open_session("box-1") as session:
        pulls = PullService(
            PullSettings(memory_bytes, flash_bytes, stall_s, folder / "store"),
            ours,
            Catalog(),
            reader=HttpSources(session),
            fill_tally=FillTally(own),
            tally=PullTally(own),
            reputation=Reputation(),
            disks=lambda: [str(folder / "store")],
            took=lambda size_bytes: None,
            load=lambda: load,
            now=loop.time(),
            take_flash=take_flash,
        )
        worker = Worker(
            listener,
            ServingSettings(store=str(folder / "store"), name="box-1"),
            serving.row(0),
            loop,
            popularity=popularity.claim(),
            teller=None,
            context=None if tls is None else Context(tls),
            door=theirs,
            clock=time.monotonic,
            wall_clock=time.time,
        )
        found = Box(worker, {"serving": serving, "own": own}, listener.getsockname()[1])
        found.pulls = pulls
        if tls is not None:
            found.trusts = ssl.create_default_context(cafile=str(tls.certificate))
        if joined:
            pulls.catalog.joined(found.titles)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            pulling = group.create_task(pulls.run())
            running = group.create_task(worker.run(stop))
            try:
                yield found
            finally:
                await found.leave()
                stop.set()
                await asyncio.wait([running])
                pulling.cancel()
                await asyncio.wait([pulling])
                ours.close()
                assert not blocks_open(), "blocks are left open"
