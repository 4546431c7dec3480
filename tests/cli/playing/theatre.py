"""A scripted world for the player: appliances, DNS and gateway on loopback, each with its faults."""

import asyncio
import contextlib
import hashlib
import itertools
import os
import re
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import dnslib
from aiohttp import web
from cli.playing.film import Film

from sluice_cli.deployment import Deployment, write_deployment
from sluice_cli.playing.player import play
from sluice_cli.playing.report import PlayReport, PlayRequest

ZONE = "v.sluice.test"
STEERED = f"b0042.{ZONE}"
SITE_B = f"b0042.site-b.{ZONE}"

# Each test process has addresses of its own, and each theatre a new pair.
_NETWORK = f"127.{100 + os.getpid() % 100}"
_numbers = itertools.count(1)

Fault = Callable[["Appliance", web.Request, bytes], Awaitable[web.StreamResponse | None]]


class Appliance:
    """Serves a film until its fault says otherwise."""

    def __init__(self, name: str, film: Film) -> None:
        self.name = name
        self.address = f"{_NETWORK}.{os.getpid() // 100 % 250}.{next(_numbers)}"
        self.fault: Fault | None = None
        self.requests: list[tuple[str, str]] = []
        self.hosts: set[str] = set()
        self._film = film
        self._runner: web.AppRunner | None = None

    async def open(self, port: int) -> int:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._serve)
        # A test ends as soon as the player does; a stalled answer is cut then.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.address, port)
        await site.start()
        assert site._server is not None
        return int(site._server.sockets[0].getsockname()[1])  # type: ignore[attr-defined]

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.path, request.headers.get("Range", "")))
        self.hosts.add(request.host)
        body = self._film.files.get(request.path.removeprefix(self._film.folder))
        if body is None:
            return web.Response(status=404)
        headers, status = {}, 200
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))
        if asked:
            first, last = int(asked[1]), int(asked[2])
            headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
            body, status = body[first : last + 1], 206
        if self.fault is not None:
            answer = await self.fault(self, request, body)
            if answer is not None:
                return answer
        return web.Response(status=status, body=body, headers=headers)


def only_media(fault: Fault, *, after: int = 0) -> Fault:
    """The fault from media request number `after` on; manifests are served."""
    seen = Counter[str]()

    async def when_media(
        appliance: Appliance, request: web.Request, body: bytes
    ) -> web.StreamResponse | None:
        if not request.path.endswith(".mp4"):
            return None
        seen["media"] += 1
        return await fault(appliance, request, body) if seen["media"] > after else None

    return when_media


async def dies(
    appliance: Appliance, request: web.Request, body: bytes
) -> web.StreamResponse | None:
    """Half of the body, then the connection is reset and nobody listens any more."""
    response = web.StreamResponse(status=206, headers={"Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    assert appliance._runner is not None
    for site in list(appliance._runner.sites):
        await site.stop()
    assert request.transport is not None
    request.transport.abort()
    return response


async def lies(_: Appliance, request: web.Request, body: bytes) -> web.StreamResponse | None:
    return web.Response(status=206, body=bytes(len(body)))


async def stalls(_: Appliance, request: web.Request, body: bytes) -> web.StreamResponse | None:
    response = web.StreamResponse(status=206, headers={"Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(body[:100])
    await asyncio.sleep(60)
    return response


async def has_nothing(_: Appliance, request: web.Request, body: bytes) -> web.StreamResponse | None:
    return web.Response(status=404)


async def sends_too_much(
    _: Appliance, request: web.Request, body: bytes
) -> web.StreamResponse | None:
    return web.Response(status=206, body=body + b"x")


async def sends_too_little(
    _: Appliance, request: web.Request, body: bytes
) -> web.StreamResponse | None:
    return web.Response(status=206, body=body[:-1])


@dataclass
class Question:
    """What the player asked DNS."""

    name: str
    kind: str
    subnet: str | None
    over_tcp: bool


@dataclass
class Names:
    """A DNS server whose answers a test writes."""

    records: dict[str, list[str]] = field(default_factory=dict)
    ttl_s: int = 60
    # Answers nothing while set.
    silent: bool = False
    truncates: bool = False
    questions: list[Question] = field(default_factory=list)

    def asked(self, name: str) -> int:
        return sum(question.name == name for question in self.questions)

    def answer(self, packet: bytes, *, over_tcp: bool) -> bytes | None:
        if self.silent:
            return None
        query = dnslib.DNSRecord.parse(packet)
        name = str(query.q.qname).rstrip(".")
        kind = dnslib.QTYPE[query.q.qtype]
        self.questions.append(Question(name, kind, _subnet(query), over_tcp))
        reply = query.reply()
        if self.truncates and not over_tcp:
            reply.header.tc = 1
            return bytes(reply.pack())
        if name not in self.records:
            reply.header.rcode = dnslib.RCODE.NXDOMAIN
        for address in self.records.get(name, ()):
            if (":" in address) == (kind == "AAAA"):
                data = dnslib.AAAA(address) if kind == "AAAA" else dnslib.A(address)
                record = dnslib.RR(query.q.qname, query.q.qtype, ttl=self.ttl_s, rdata=data)
                reply.add_answer(record)
        return bytes(reply.pack())


def _subnet(query: Any) -> str | None:
    for record in query.ar:
        for option in record.rdata if record.rtype == dnslib.QTYPE.OPT else ():
            if option.code == 8:
                family, source, _ = struct.unpack("!HBB", option.data[:4])
                kind, size = (socket.AF_INET, 4) if family == 1 else (socket.AF_INET6, 16)
                address = socket.inet_ntop(kind, option.data[4:].ljust(size, b"\0"))
                return f"{address}/{source}"
    return None


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, names: Names) -> None:
        self._names = names

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not isinstance: Python 3.11 does not derive its transport from DatagramTransport.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        answer = self._names.answer(data, over_tcp=False)
        if answer is not None:
            self._transport.sendto(answer, addr)


@contextlib.asynccontextmanager
async def _serving(names: Names) -> AsyncIterator[int]:
    async def tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            size = int.from_bytes(await reader.readexactly(2), "big")
            answer = names.answer(await reader.readexactly(size), over_tcp=True)
            if answer is not None:
                writer.write(len(answer).to_bytes(2, "big") + answer)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(tcp, "127.0.0.1", 0)
    port = int(server.sockets[0].getsockname()[1])
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Udp(names), local_addr=("127.0.0.1", port)
    )
    try:
        yield port
    finally:
        transport.close()
        server.close()
        await server.wait_closed()


class Theatre:
    """Everything that a player talks to."""

    def __init__(self, film: Film) -> None:
        self.film = film
        self.boxes = {name: Appliance(name, film) for name in ("a-1", "a-2", "b-1", "b-2")}
        self.names = Names()
        self.asked: list[dict[str, Any]] = []
        # What the gateway answers instead, when set.
        self.refusal: tuple[int, dict[str, object]] | None = None
        self.integrity_sha256 = hashlib.sha256(film.files["integrity.json"]).hexdigest()
        self.data_port = 0
        self.deployment: Deployment

    def steer(self, *boxes: str, name: str = STEERED) -> None:
        self.names.records[name] = [self.boxes[box].address for box in boxes]

    async def play(
        self,
        *,
        client: str | None = "10.1.2.3",
        seconds: float | None = None,
        rendition: str | None = None,
        realtime: bool = False,
        buffer_s: float = 1000.0,
        clock: Callable[[], float] = time.monotonic,
        watch: Callable[[object], None] = lambda shown: None,
    ) -> PlayReport:
        request = PlayRequest(self.film.title, client, seconds, rendition, realtime, buffer_s)
        return await play(self.deployment, request, clock=clock, watch=watch)

    async def _playback(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append(body)
        if self.refusal is not None:
            status, problem = self.refusal
            return web.json_response(problem, status=status)
        ways = (
            [(box.name, box.address, f"appliances/{box.name}") for box in self.boxes.values()]
            if body.get("resolve")
            else [("steered", STEERED, None), ("site-b", SITE_B, None)]
        )
        pathways = [
            {
                "id": way_id,
                "rank": rank,
                "site": None,
                "appliance": appliance,
                "host": host,
                "port": self.data_port,
                "hls_url": self._url(host, "master.m3u8"),
                "dash_url": self._url(host, "manifest.mpd"),
                "integrity_url": self._url(host, "integrity.json"),
            }
            for rank, (way_id, host, appliance) in enumerate(ways, start=1)
        ]
        integrity = self.film.files["integrity.json"]
        return web.json_response(
            {
                "title": f"titles/{self.film.title}",
                "display_name": "Noise",
                "attribution": "nobody",
                "expires_at": "2030-01-01T00:00:00Z",
                "map_revision": 1,
                "class_index": 1,
                "hls_url": pathways[0]["hls_url"],
                "dash_url": pathways[0]["dash_url"],
                "integrity": {
                    "url": pathways[0]["integrity_url"],
                    "sha256": self.integrity_sha256,
                    "size_bytes": len(integrity),
                },
                "pathways": pathways,
            }
        )

    def _url(self, host: str, file: str) -> str:
        return f"http://{host}:{self.data_port}{self.film.folder}{file}"


@contextlib.asynccontextmanager
async def theatre(folder: Path, film: Film | None = None) -> AsyncIterator[Theatre]:
    """Opens with every appliance serving, and DNS naming site A's two, then site B's by their name."""
    stage = Theatre(film or Film())
    async with contextlib.AsyncExitStack() as stack:
        await _open(stage, stage.boxes.values(), stack)
        app = web.Application()
        app.router.add_post("/v1/playback", stage._playback)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        gateway_port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        dns_port = await stack.enter_async_context(_serving(stage.names))
        stage.steer("a-1", "a-2")
        stage.steer("b-1", "b-2", name=SITE_B)
        stage.deployment = Deployment(
            gateway=f"http://127.0.0.1:{gateway_port}",
            dns=f"127.0.0.1:{dns_port}",
            zone=ZONE,
            control_plane="127.0.0.1:1",
            origin="http://127.0.0.1:1/",
            origin_root=str(folder / "origin"),
            identity_operator=str(folder / "nobody"),
            identity_publisher=str(folder / "nobody"),
            pid=os.getpid(),
            processes=(),
        )
        write_deployment(folder, stage.deployment)
        yield stage


async def _open(
    stage: Theatre, boxes: Iterable[Appliance], stack: contextlib.AsyncExitStack
) -> None:
    """All appliances on one port that the OS gives."""
    for box in boxes:
        stack.push_async_callback(box.close)
        stage.data_port = await box.open(stage.data_port)
