"""The ways between workers and the puller: whoever ends, or says what is none, ends nobody else."""

import array
import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import msgspec
from appliance.deadline import until
from appliance.pull.box import KEY, MIB, Box, Origin, body_of, box
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.pull.links import UNSAID_MAX
from sluice_appliance.pull.messages import (
    Look,
    Want,
    decode_from_worker,
    decode_to_worker,
    encode,
)

BODY = body_of(20 * MIB)
Story = Callable[[Box, Origin], Awaitable[None]]


def told(folder: Path, story: Story) -> None:
    async def run() -> None:
        origin = Origin({KEY: BODY})
        async with origin.serving(), box(folder) as served:
            served.titles.publish(KEY, BODY, origin)
            async with asyncio.timeout(60):
                await story(served, origin)

    asyncio.run(run())


def new_way(served: Box) -> socket.socket:
    """A worker's end, of a worker that is ours to script."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    near.setblocking(False)
    assert served.worker.pulls is not None
    rights = array.array("i", [far.fileno()])
    served.worker.pulls._door.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    far.close()
    return near


async def until_ended(way: socket.socket) -> None:
    def ended() -> bool:
        with suppress(BlockingIOError):
            return not way.recv(1 << 16)
        return False

    await until("the way is closed", ended)


async def serves(served: Box) -> None:
    reply = await served.get(KEY, MIB, MIB + 9)
    assert await reply.body() == BODY[MIB : MIB + 10]


def test_what_a_dead_worker_waited_for_is_fetched_no_further(tmp_path: Path) -> None:
    async def story(served: Box, origin: Origin) -> None:
        origin.held_from = 2 * MIB + 70_000
        way = new_way(served)
        way.send(encode(Look(1, KEY)))
        await until("it is known", lambda: served.pulls.catalog.known(KEY))
        way.send(encode(Want(1, KEY, 0, 8)))
        await until("the source is asked", lambda: origin.sent_bytes >= 2 * MIB)
        way.close()
        await until("nobody waits", lambda: not served.pulls.puller.waiting)
        origin.gate.set()
        await until("the pull ends", lambda: served.count("pulls_abandoned_total") == 1)
        await until("nothing is under way", lambda: not served.pulls.puller.pulls_under_way)
        await serves(served)

    told(tmp_path, story)


def test_what_is_no_message_ends_its_way_and_nothing_else(tmp_path: Path) -> None:
    async def story(served: Box, origin: Origin) -> None:
        with new_way(served) as way:
            way.send(b"\xc1 is no message")
            await until_ended(way)
        await serves(served)

    told(tmp_path, story)


def test_a_worker_that_does_not_listen_is_left_and_others_are_served(tmp_path: Path) -> None:
    async def story(served: Box, origin: Origin) -> None:
        await serves(served)
        with new_way(served) as way:
            for number in range(2 * UNSAID_MAX):
                while True:
                    try:
                        way.send(encode(Look(number, KEY)))
                        break
                    except BlockingIOError:
                        await asyncio.sleep(0)
                    except OSError:
                        break
            await until(
                "it is counted", lambda: served.count("pulls_refused_total", bound="unsaid") == 1
            )
            await until_ended(way)
        await serves(served)

    told(tmp_path, story)


def test_a_worker_whose_way_is_lost_breaks_what_waits_and_makes_a_new_one(tmp_path: Path) -> None:
    async def story(served: Box, origin: Origin) -> None:
        origin.held_from = 0
        waiting = await served.ask(KEY)
        await until("the source is asked", lambda: origin.asked)
        assert served.worker.pulls is not None
        served.worker.pulls._lose_way()
        assert (await waiting.head()).status == 503
        origin.gate.set()

        def connected() -> bool:
            return served.worker.pulls is not None and served.worker.pulls._way is not None

        await until("there is a new way", connected)
        await serves(served)

    told(tmp_path, story)


@given(st.binary(max_size=200))
def test_whatever_comes_over_a_way_is_a_message_or_refused(packet: bytes) -> None:
    for decode in (decode_from_worker, decode_to_worker):
        with suppress(msgspec.DecodeError):
            assert encode(decode(packet))
