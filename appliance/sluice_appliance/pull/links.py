"""The ways between serving workers and the puller: a socket pair for each worker, made by the worker.

All workers inherit one end of a pair, the door; each makes a pair of its own and hands the far end in
through it. So a way ends when its worker does, however it ends, and its successor has a new one: nothing
that was said to the dead is heard by the living.
"""

import array
import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import msgspec

from sluice_appliance.pull.messages import (
    MESSAGE_BYTES_MAX,
    Asked,
    Block,
    Drop,
    Facts,
    Failed,
    Leave,
    Look,
    Want,
    Why,
    decode_from_worker,
    encode,
)
from sluice_appliance.pull.puller import Puller
from sluice_appliance.pull.tally import PullTally
from sluice_appliance.store.layout import ObjectHeader
from sluice_runtime.logs import get_logger

log = get_logger(__name__)

# What waits to be said to a worker that does not listen; beyond, its way is closed and it makes a new one.
UNSAID_MAX = 8192
# Messages of one worker before others have a turn.
_BURST = 64


def open_door() -> tuple[socket.socket, socket.socket]:
    """Ours, and the one that workers inherit."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    return ours, theirs


class Links:
    """Takes workers in while `open`."""

    def __init__(self, door: socket.socket, puller: Puller, tally: PullTally) -> None:
        self._door = door
        self._puller = puller
        self._tally = tally
        self._links: set[_Link] = set()

    def open(self) -> None:
        asyncio.get_running_loop().add_reader(self._door, self._take_in)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._door)
        for link in list(self._links):
            link.close()

    def _take_in(self) -> None:
        try:
            _, descriptors, _, _ = socket.recv_fds(self._door, 16, 1, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        for descriptor in descriptors:
            link = _Link(socket.socket(fileno=descriptor), self._puller, self._tally, self._closed)
            self._links.add(link)

    def _closed(self, link: "_Link") -> None:
        self._links.discard(link)


class _Link:
    """One worker."""

    def __init__(
        self,
        end: socket.socket,
        puller: Puller,
        tally: PullTally,
        closed: Callable[["_Link"], None],
    ) -> None:
        self._end = end
        self._puller = puller
        self._tally = tally
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        # Each with a descriptor of its own, -1 for none.
        self._unsaid: deque[tuple[bytes, int]] = deque()
        self._numbers: set[int] = set()
        end.setblocking(False)
        self._loop.add_reader(end, self._hear)

    # --- what it is told --------------------------------------------------------------------------

    def facts(self, number: int, header: ObjectHeader) -> None:
        self._numbers.discard(number)
        self._say(Facts(number, header.size_bytes, header.sha256, header.content_type))

    def failed(self, number: int, why: Why) -> None:
        self._numbers.discard(number)
        self._say(Failed(number, why))

    def block(self, key: str, block: int, descriptor: int) -> None:
        self._say(Block(key, block), descriptor)

    def drop(self, key: str, block: int) -> None:
        self._say(Drop(key, block))

    def close(self) -> None:
        if self._end.fileno() < 0:
            return
        self._loop.remove_reader(self._end)
        self._loop.remove_writer(self._end)
        self._end.close()
        while self._unsaid:
            _close(self._unsaid.popleft()[1])
        self._puller.gone(self, self._numbers)
        self._closed(self)

    def _say(self, message: Facts | Failed | Block | Drop, descriptor: int = -1) -> None:
        if self._end.fileno() < 0:
            return
        packet = encode(message)
        if not self._unsaid:
            if self._sent(packet, descriptor):
                return
            self._loop.add_writer(self._end, self._say_on)
        if len(self._unsaid) >= UNSAID_MAX:
            self._tally.refused("unsaid")
            # Not from within the puller's own work.
            self._loop.call_soon(self.close)
            return
        self._unsaid.append((packet, os.dup(descriptor) if descriptor >= 0 else -1))

    def _say_on(self) -> None:
        while self._unsaid:
            packet, descriptor = self._unsaid[0]
            if not self._sent(packet, descriptor):
                return
            self._unsaid.popleft()
            _close(descriptor)
        self._loop.remove_writer(self._end)

    def _sent(self, packet: bytes, descriptor: int) -> bool:
        """Whether it needs no more saying: it was said, or nobody is there any more."""
        handed = []
        if descriptor >= 0:
            rights = array.array("i", [descriptor])
            handed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
        try:
            self._end.sendmsg([packet], handed)
        except BlockingIOError:
            return False
        except OSError:
            # It has ended, or the system has no room for one more descriptor on its way: a worker that
            # lives makes a new way.
            self._loop.call_soon(self.close)
        return True

    # --- what it says -----------------------------------------------------------------------------

    def _hear(self) -> None:
        for _ in range(_BURST):
            try:
                packet = self._end.recv(MESSAGE_BYTES_MAX)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self.close()
                return
            try:
                self._heed(packet)
            except msgspec.DecodeError as error:
                log.error("pull_message_malformed", reason=str(error))
                self.close()
                return

    def _heed(self, packet: bytes) -> None:
        """Raises msgspec.DecodeError."""
        puller = self._puller
        match decode_from_worker(packet):
            case Look(number, key):
                self._numbers.add(number)
                puller.look(self, number, key)
            case Want(number, key, first, end):
                self._numbers.add(number)
                puller.want(self, number, key, first, end)
            case Leave(number):
                self._numbers.discard(number)
                puller.leave(self, number)
            case Asked(key, counts):
                puller.asked(self, key, counts)


def _close(descriptor: int) -> None:
    if descriptor >= 0:
        with suppress(OSError):
            os.close(descriptor)
