"""How fast bytes really come over sockets when a rate is set."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from appliance.fill.signing import wanted_of

from sluice_appliance.fill.http_source import HttpSources
from sluice_appliance.fill.intake import Intake
from sluice_appliance.fill.pace import Pace
from sluice_appliance.fill.purse import Purse
from sluice_appliance.fill.reputation import Reputation
from sluice_appliance.fill.sources import Source, SourceKind
from sluice_appliance.fill.tally import FillTally
from sluice_appliance.metrics import supervisor_counters

MIB = 1024 * 1024
BODY = bytes(16 * MIB)
WANTED = wanted_of("film/v1/a.mp4", BODY)
BYTES_PER_S = 16_000_000
FROM_S, UNTIL_S = 0.2, 1.4


@asynccontextmanager
async def fast_source() -> AsyncIterator[Source]:
    """Sends as fast as it is read."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY))
                for start in range(0, len(BODY), MIB):
                    writer.write(BODY[start : start + MIB])
                    await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield Source(f"a-{port}", SourceKind.PEER, f"http://127.0.0.1:{port}/")


def test_bytes_of_four_sources_together_come_over_sockets_at_the_cap_within_a_twentieth() -> None:
    """What the rate allows from one moment to the other, whatever the machine does meanwhile: a stall of
    this process is time too, which is made up for a short burst at most."""
    came: list[tuple[float, int]] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        tally, pace = FillTally(supervisor_counters()), Pace(8.0 * BYTES_PER_S)
        async with HttpSources.open_session("box-1") as session:
            intake = Intake(HttpSources(session), tally, Reputation(), pace, stall_s=5.0)

            async def fetch(source: Source) -> None:
                purse = Purse(on_take=lambda size_bytes: came.append((loop.time(), size_bytes)))
                async for _ in intake.read(source, WANTED, 0, len(BODY), purse):
                    pass

            began_at = loop.time()
            async with fast_source() as one, fast_source() as other:
                fetches = [
                    asyncio.create_task(fetch(source)) for source in (one, other, one, other)
                ]
                await asyncio.sleep(UNTIL_S + 0.1)
                for task in fetches:
                    task.cancel()
                await asyncio.gather(*fetches, return_exceptions=True)
            came[:] = [(at - began_at, size_bytes) for at, size_bytes in came]

    asyncio.run(run())
    measured = [(at, size) for at, size in came if FROM_S <= at <= UNTIL_S]
    took_s = measured[-1][0] - measured[0][0]
    # The last piece is paid for after it came.
    rate = sum(size for _, size in measured[:-1]) / took_s
    assert 0.95 * BYTES_PER_S <= rate <= 1.05 * BYTES_PER_S
