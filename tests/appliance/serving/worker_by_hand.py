"""A worker whose loop and clock a test turns by hand: real sockets, and nothing happens by itself."""

import os
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from sluice_appliance.serving import tally
from sluice_appliance.serving.connection import Connection
from sluice_appliance.serving.objects import OpenObject
from sluice_appliance.serving.openssl import Context
from sluice_appliance.serving.popularity import Popularity
from sluice_appliance.serving.settings import ServingSettings
from sluice_appliance.serving.spoilt import Tell
from sluice_appliance.serving.telling import Teller
from sluice_appliance.serving.tls import Handshake
from sluice_appliance.serving.wire import PlainWire
from sluice_appliance.serving.worker import Worker

DEADLINE_S = 20.0
WALL_CLOCK = 1_750_000_000.0

T = TypeVar("T")


def new_row() -> "memoryview[int]":
    return memoryview(bytearray(tally.CELLS * 8)).cast("Q")


class LoopByHand:
    """What `Poller` and `ReadAhead` need of a loop; threads may call `call_soon_threadsafe`."""

    def __init__(self) -> None:
        self.readers: dict[int, Callable[[], None]] = {}
        self.soon: deque[Callable[[], None]] = deque()

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        self.readers[fd] = callback

    def remove_reader(self, fd: int) -> bool:
        return self.readers.pop(fd, None) is not None

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.soon.append(callback)

    call_soon_threadsafe = call_soon

    def turn(self) -> None:
        """One iteration: every reader looks, then what was to be called soon is called."""
        for callback in list(self.readers.values()):
            callback()
        for _ in range(len(self.soon)):
            self.soon.popleft()()

    def turn_until(self, happens: Callable[[], T | None]) -> T:
        """What it gives at last."""
        deadline = time.monotonic() + DEADLINE_S
        while (found := happens()) is None:
            assert time.monotonic() < deadline, f"nothing came within {DEADLINE_S} s"
            self.turn()
        return found


class ByHand:
    """A worker, its counters and its clock."""

    def __init__(
        self,
        settings: ServingSettings,
        context: Context | None,
        teller: Callable[["memoryview[int]"], Teller] | None,
        tell: Tell = lambda path, offset: True,
    ) -> None:
        self.loop = LoopByHand()
        self.row = new_row()
        self.context = context
        self.popularity = Popularity(1)
        self.clock_s = 1000.0
        self.wall_clock_s = WALL_CLOCK
        self.failures: list[Exception] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        # As the pool does: those accepted inherit it.
        self.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.worker = Worker(
            self.listener,
            settings,
            self.row,
            self.loop,  # type: ignore[arg-type]  # as much of a loop as is used
            popularity=self.popularity.claim(),
            teller=None if teller is None else teller(self.row),
            context=context,
            clock=lambda: self.clock_s,
            wall_clock=lambda: self.wall_clock_s,
            tell=tell,
        )
        # In place of the event loop's own handler.
        self.worker._failed = self.failures.append  # type: ignore[assignment, method-assign]
        self.worker.poller._on_failure = self.failures.append

    def pass_time(self, seconds: float) -> None:
        """The clock goes on, and everyone is looked after, as by the worker's tick."""
        self.clock_s += seconds
        self.wall_clock_s += seconds
        self.worker.now = self.clock_s
        self.worker._renew_keys()
        self.worker._renew_tails()
        self.worker._check_some()

    def drain(self) -> None:
        self.worker._begin_draining()

    def counts(self, cell: int) -> int:
        self.worker.hot.flush()
        return self.row[cell]

    def connect(
        self,
        *,
        receive_buffer_bytes: int = 0,
        send_buffer_bytes: int = 0,
        wire: type[PlainWire] = PlainWire,
    ) -> "PlainClient":
        """A client in the clear that the worker has accepted."""
        near, far = self._pair(receive_buffer_bytes, send_buffer_bytes)
        self.worker._clients.add(Connection(self.worker, wire(far), "127.0.0.1"))
        self.loop.turn()
        return PlainClient(near, self.loop)

    def secure(
        self,
        client: ssl.SSLContext,
        *,
        receive_buffer_bytes: int = 0,
        send_buffer_bytes: int = 0,
        session: ssl.SSLSession | None = None,
    ) -> "SecureClient":
        """The same over TLS, its handshake done."""
        near = self.expect_handshake(receive_buffer_bytes, send_buffer_bytes)
        secured = SecureClient(near, self.loop, client, session)
        secured.shake_hands()
        return secured

    def expect_handshake(
        self, receive_buffer_bytes: int = 0, send_buffer_bytes: int = 0
    ) -> socket.socket:
        """The client's end of a connection of which a handshake is expected."""
        assert self.context is not None, "a worker without TLS"
        near, far = self._pair(receive_buffer_bytes, send_buffer_bytes)
        self.worker._clients.add(Handshake(self.worker, far, self.context, "127.0.0.1"))
        return near

    def _pair(self, receive_bytes: int, send_bytes: int) -> tuple[socket.socket, socket.socket]:
        near = socket.socket()
        if receive_bytes:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        near.connect(self.listener.getsockname())
        # What is sent is there at the next turn.
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        near.setblocking(False)
        far, _ = self.listener.accept()
        far.setblocking(False)
        assert self.worker._by_client.admit("127.0.0.1")
        self.row[tally.CONNECTIONS] += 1
        if send_bytes:
            far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_bytes)
        return near, far


class PlainClient:
    """`receive` turns the loop until something is there."""

    def __init__(self, near: socket.socket, loop: LoopByHand) -> None:
        self.socket = near
        self._loop = loop

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)
        self._loop.turn()

    def take(self, size_max: int) -> bytes | None:
        """What is there now; None for nothing, b"" at the end."""
        try:
            return self.socket.recv(size_max)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            return b""

    def receive(self, size_max: int) -> bytes:
        def taken() -> bytes | None:
            return self.take(size_max)

        return self._loop.turn_until(taken)

    def end(self) -> None:
        """Nothing more is sent."""
        self.socket.shutdown(socket.SHUT_WR)
        self._loop.turn()

    def reset(self) -> None:
        """Leaves at once, and says so."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()
        self._loop.turn()

    def close(self) -> None:
        self.socket.close()


class SecureClient(PlainClient):
    """The same through TLS."""

    def __init__(
        self,
        near: socket.socket,
        loop: LoopByHand,
        context: ssl.SSLContext,
        session: ssl.SSLSession | None,
    ) -> None:
        super().__init__(near, loop)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.incoming, self.outgoing, server_hostname="localhost", session=session
        )

    def shake_hands(self) -> None:
        def shaken() -> bool | None:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self._exchange(65536)
                return None
            self._exchange(0)
            return True

        self._loop.turn_until(shaken)
        self._loop.turn()

    def send(self, data: bytes) -> None:
        self.tls.write(data)
        self._exchange(0)
        self._loop.turn()

    def take(self, size_max: int) -> bytes | None:
        try:
            return self.tls.read(size_max)
        except ssl.SSLWantReadError:
            self._exchange(size_max)
        except ssl.SSLZeroReturnError:
            return b""
        return None

    def say_goodbye(self) -> None:
        """Sends close_notify and waits for the server's. Raises ssl.SSLError where it does not come."""

        def said() -> bool | None:
            try:
                self.tls.unwrap()
            except ssl.SSLWantReadError:
                self._exchange(65536)
                return None
            return True

        self._loop.turn_until(said)

    def _exchange(self, size_max: int) -> None:
        if self.outgoing.pending:
            self.socket.sendall(self.outgoing.read())
        if size_max:
            try:
                came = self.socket.recv(size_max)
            except BlockingIOError:
                return
            if came:
                self.incoming.write(came)
            else:
                self.incoming.write_eof()


@contextmanager
def by_hand(
    store: Path | str,
    *,
    settings: ServingSettings | None = None,
    context: Context | None = None,
    teller: Callable[["memoryview[int]"], Teller] | None = None,
    tell: Tell = lambda path, offset: True,
) -> Iterator[ByHand]:
    """A worker; at the end nobody may hold one of its objects, and no descriptor be left over."""
    before = open_descriptors()
    found = ByHand(settings or ServingSettings(store=str(store)), context, teller, tell)
    worker = found.worker
    with closing(found.listener):
        try:
            yield found
            for client in list(worker._clients):
                client.close()
            assert {each.users for each in open_objects(worker)} <= {1}
        finally:
            for client in list(worker._clients):
                client.close()
            worker.hot.flush()
            worker.cold_reads.close()
            # What a thread opens meanwhile has come, and is closed with the others.
            found.loop.turn_until(lambda: _is_idle(worker) or None)
            worker.objects.close()
            worker.poller.close()
    assert found.failures == []
    assert open_descriptors() <= before, "descriptors are left over"


def _is_idle(worker: Worker) -> bool:
    return not any(disk.ahead.depth for disk in worker.cold_reads._disks.values())


def open_objects(worker: Worker) -> list[OpenObject]:
    return list(worker.objects._open.values())


def open_descriptors() -> int:
    """But those of popularity's tables, which go when they are collected."""
    found = 0
    for each in Path("/proc/self/fd").iterdir():
        # The folder's own is gone by now.
        with suppress(FileNotFoundError):
            found += "sluice-popularity" not in os.readlink(each)
    return found
