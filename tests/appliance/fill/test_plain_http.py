"""What a source that speaks plain HTTP may do on its connections, well or badly, with real sockets."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from appliance.fill.signing import wanted_of

from sluice_appliance.fill.http_source import HttpSources
from sluice_appliance.fill.intake import Intake
from sluice_appliance.fill.pace import Pace
from sluice_appliance.fill.plain_http import plain_target
from sluice_appliance.fill.purse import Purse
from sluice_appliance.fill.reputation import Reputation
from sluice_appliance.fill.sources import FaultKind, Source, SourceFailed, SourceKind
from sluice_appliance.fill.tally import FillTally
from sluice_appliance.metrics import supervisor_counters
from sluice_appliance.store.layout import BLOCK_BYTES

BODY = random.Random(11).randbytes(3 * BLOCK_BYTES + 5000)
WANTED = wanted_of("film/v1/a.mp4", BODY)
LENGTH = f"Content-Length: {len(BODY)}\r\n".encode()
OK = b"HTTP/1.1 200 OK\r\n"

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[None]]


class Server:
    """Answers the n-th request with the n-th of `answers`, the last one ever after."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = answers
        self.requests: list[bytes] = []
        self.connections = 0
        self.ended = asyncio.Event()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Source]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            yield Source("s", SourceKind.PEER, f"http://127.0.0.1:{port}/")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while not writer.is_closing():
                request = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(request)
                number = min(len(self.requests), len(self.answers)) - 1
                await self.answers[number](reader, writer, request)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            self.ended.set()
        finally:
            writer.close()


def saying(*parts: bytes, close: bool = False) -> Answer:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter, __: bytes) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
        if close:
            writer.close()

    return answer


async def closing(_: asyncio.StreamReader, writer: asyncio.StreamWriter, __: bytes) -> None:
    writer.close()


whole = saying(OK + LENGTH + b"\r\n", BODY)


async def read_all(
    sources: HttpSources, source: Source, start: int = 0, end: int | None = None
) -> list[bytes]:
    return [bytes(piece) async for piece in sources.read(source, WANTED, start, end)]


def ask(*answers: Answer, times: int = 1) -> tuple[Server, list[list[bytes]]]:
    opened = 0

    def count() -> None:
        nonlocal opened
        opened += 1

    async def main() -> tuple[Server, list[list[bytes]]]:
        server = Server(*answers)
        session = HttpSources.open_session("a-1", opened=count)
        async with server.serving() as source, session as connections:
            sources = HttpSources(connections)
            return server, [await read_all(sources, source) for _ in range(times)]

    server, bodies = asyncio.run(main())
    assert opened == server.connections
    return server, bodies


def test_a_body_comes_in_pieces_that_end_where_blocks_do() -> None:
    _, [pieces] = ask(whole)
    assert b"".join(pieces) == BODY
    assert max(map(len, pieces)) <= 2 * BLOCK_BYTES
    # Whatever the kernel had when it was asked, a piece never goes on into a block after the next.
    at = 0
    for piece in pieces:
        assert (at + len(piece) - 1) // BLOCK_BYTES - at // BLOCK_BYTES <= 1
        at += len(piece)


def test_a_body_that_begins_within_a_block_comes_to_its_end_first() -> None:
    start = 100
    head = f"HTTP/1.1 206 x\r\nContent-Range: bytes {start}-{len(BODY) - 1}/{len(BODY)}\r\n"
    head += f"Content-Length: {len(BODY) - start}\r\n\r\n"

    async def main() -> list[bytes]:
        server = Server(saying(head.encode(), BODY[start:]))
        async with server.serving() as source, HttpSources.open_session() as session:
            return await read_all(HttpSources(session), source, start)

    pieces = asyncio.run(main())
    assert b"".join(pieces) == BODY[start:]
    came = 0
    for piece in pieces:
        came += len(piece)
        if came >= BLOCK_BYTES - start:
            break
    assert came == BLOCK_BYTES - start


def test_a_body_comes_into_memory_that_was_used_before_and_never_into_that_of_another() -> None:
    async def first_piece(sources: HttpSources, source: Source, together: asyncio.Barrier) -> int:
        """Of which memory it is: once all others have theirs, it is still right."""
        stream = sources.read(source, WANTED, 0)
        piece = await anext(stream)
        assert isinstance(piece, memoryview)
        room = piece.obj
        rooms.append(room)
        await together.wait()
        assert piece == BODY[: len(piece)]
        await stream.aclose()  # type: ignore[attr-defined]
        return id(room)

    async def side_by_side(sources: HttpSources, source: Source, responses: int) -> set[int]:
        together = asyncio.Barrier(responses)
        asked = [first_piece(sources, source, together) for _ in range(responses)]
        return set(await asyncio.gather(*asked))

    async def main() -> tuple[set[int], set[int]]:
        server = Server(whole)
        async with server.serving() as source, HttpSources.open_session() as session:
            sources = HttpSources(session)
            return await side_by_side(sources, source, 20), await side_by_side(sources, source, 18)

    # They are held here, so that no other comes to stand where one was.
    rooms: list[object] = []
    first, second = asyncio.run(main())
    assert (len(first), len(second)) == (20, 18)
    # Of twenty, sixteen were kept.
    assert len(first & second) == 16


def test_a_request_names_the_box_and_asks_for_nothing_encoded() -> None:
    server, _ = ask(whole)
    lines = server.requests[0].decode().split("\r\n")
    assert lines[0] == f"GET /{WANTED.key} HTTP/1.1"
    assert {"CDN-Loop: a-1", "Accept-Encoding: identity"} <= set(lines)
    assert not any(line.startswith("Range") for line in lines)


def test_one_connection_serves_piece_after_piece() -> None:
    server, bodies = ask(whole, times=5)
    assert [b"".join(body) for body in bodies] == [BODY] * 5
    assert server.connections == 1


def test_a_source_that_closes_an_idle_connection_is_not_blamed_for_it() -> None:
    server, bodies = ask(saying(OK + LENGTH + b"\r\n", BODY, close=True), whole, times=2)
    assert [b"".join(body) for body in bodies] == [BODY] * 2
    assert server.connections == 2


def test_a_request_that_meets_a_closing_connection_is_asked_on_a_new_one() -> None:
    server, bodies = ask(whole, closing, whole, times=2)
    assert [b"".join(body) for body in bodies] == [BODY] * 2
    assert (server.connections, len(server.requests)) == (2, 3)


def test_a_connection_that_should_close_is_not_used_again() -> None:
    server, _ = ask(saying(OK + LENGTH + b"Connection: close\r\n\r\n", BODY), times=2)
    assert server.connections == 2


def test_bytes_that_nobody_asked_for_are_never_taken_for_the_next_answer() -> None:
    more = saying(OK + LENGTH + b"\r\n", BODY, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
    server, bodies = ask(more, whole, times=2)
    assert [b"".join(body) for body in bodies] == [BODY] * 2
    assert server.connections == 2


def test_a_head_may_come_byte_by_byte_and_after_informational_ones() -> None:
    head = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK + LENGTH + b"\r\n"
    _, [body] = ask(saying(*[head[n : n + 1] for n in range(len(head))], BODY))
    assert b"".join(body) == BODY


def test_a_body_in_chunks_comes_whole_and_so_does_one_that_the_connection_ends() -> None:
    cut = len(BODY) // 3
    parts = [b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:cut], BODY[cut:])]
    _, [chunked] = ask(saying(OK + b"Transfer-Encoding: chunked\r\n\r\n", *parts, b"0\r\n\r\n"))
    assert b"".join(chunked) == BODY
    _, [until_closed] = ask(saying(b"HTTP/1.0 200 OK\r\n\r\n", BODY, close=True))
    assert b"".join(until_closed) == BODY


@pytest.mark.parametrize(
    ("said", "fault", "reason"),
    [
        ([b"SSH-2.0-OpenSSH_9.2\r\n\r\n"], FaultKind.UNAVAILABLE, "no head of HTTP"),
        ([OK + LENGTH + b"Content-Length: 7\r\n\r\n"], FaultKind.UNAVAILABLE, "no head of HTTP"),
        ([OK, b"X: y\r\n" * 20_000], FaultKind.UNAVAILABLE, "and no end"),
        ([b"HTTP/1.1 103 x\r\n\r\n" * 5000], FaultKind.UNAVAILABLE, "informational"),
        ([OK + b"Transfer-Encoding: gzip\r\n\r\n"], FaultKind.UNAVAILABLE, "gzip"),
        ([OK], FaultKind.UNAVAILABLE, "into the response's head"),
        ([], FaultKind.UNAVAILABLE, "before the response began"),
        ([OK + LENGTH + b"\r\n", BODY[:100]], FaultKind.TRUNCATED, "bytes before the body"),
        (
            [OK + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n"],
            FaultKind.TRUNCATED,
            "before the last chunk",
        ),
        (
            [OK + b"Transfer-Encoding: chunked\r\n\r\n", b"zz\r\nhello\r\n"],
            FaultKind.TRUNCATED,
            "chunks",
        ),
    ],
)
def test_what_is_no_whole_answer_is_one_fault_with_its_reason(
    said: Sequence[bytes], fault: FaultKind, reason: str
) -> None:
    with pytest.raises(SourceFailed, match=reason) as failed:
        ask(saying(*said, close=True))
    assert failed.value.fault is fault


def test_a_source_that_sends_long_what_was_not_asked_for_is_not_silent() -> None:
    """It knows no ranges: what is asked for comes after all that is before."""
    start = 3 * BLOCK_BYTES

    async def trickling(_: asyncio.StreamReader, writer: asyncio.StreamWriter, __: bytes) -> None:
        writer.write(OK + LENGTH + b"\r\n")
        for at in range(0, len(BODY), BLOCK_BYTES):
            await asyncio.sleep(0.4)
            writer.write(BODY[at : at + BLOCK_BYTES])
            await writer.drain()

    async def main() -> bytes:
        server, tally = Server(trickling), FillTally(supervisor_counters())
        async with server.serving() as source, HttpSources.open_session() as session:
            intake = Intake(HttpSources(session), tally, Reputation(), Pace(), stall_s=1.0)
            pieces = intake.read(source, WANTED, start, len(BODY), Purse())
            return b"".join([bytes(piece) async for piece in pieces])

    assert asyncio.run(main()) == BODY[start:]


def test_an_address_where_nobody_listens_is_unavailable() -> None:
    async def main() -> None:
        async with HttpSources.open_session() as session:
            await read_all(
                HttpSources(session), Source("s", SourceKind.PEER, "http://127.0.0.1:1/")
            )

    with pytest.raises(SourceFailed, match="Connect call failed") as failed:
        asyncio.run(main())
    assert failed.value.fault is FaultKind.UNAVAILABLE


def test_what_has_come_is_had_before_the_rest_of_its_block() -> None:
    async def main() -> None:
        server = Server(saying(OK + LENGTH + b"\r\n", BODY[:100]))
        async with server.serving() as source, HttpSources.open_session() as session:
            stream = HttpSources(session).read(source, WANTED, 0)
            async with asyncio.timeout(5):
                assert await anext(stream) == BODY[:100]
            await stream.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())


def test_a_read_that_is_cancelled_lets_go_of_its_connection_and_leaves_no_thread() -> None:
    async def main() -> None:
        server = Server(saying(OK + LENGTH + b"\r\n", BODY[: 2 * BLOCK_BYTES + 9]))
        async with server.serving() as source, HttpSources.open_session() as session:
            reading = asyncio.ensure_future(read_all(HttpSources(session), source))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await reading
            async with asyncio.timeout(5):
                await server.ended.wait()

    asyncio.run(main())
    assert not [each for each in threading.enumerate() if each.name.startswith("fill-receive")]


@pytest.mark.parametrize(
    "url", ["https://a/b", "http://user@a/b", "http:///b", "http://a/b c", "ftp://a/b"]
)
def test_what_is_not_for_this_client_is_left_to_the_other(url: str) -> None:
    assert plain_target(url) is None


def test_an_address_of_ipv6_and_a_path_before_the_key_are_kept_as_they_are() -> None:
    target = plain_target("http://[::1]:8081/x/y?z")
    assert target is not None
    assert (*target.endpoint, target.authority, target.path) == (
        "::1",
        8081,
        "[::1]:8081",
        "/x/y?z",
    )
