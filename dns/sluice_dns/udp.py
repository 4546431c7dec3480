"""A UDP worker: one process, one socket, one blocking loop.

A query costs two system calls (recvfrom, sendto), `wire.py`, one look at the clock and four counters.
There is no event loop, because it would add a third call, and no lock, because
nothing is shared but counters. The socket is the supervisor's: when this process dies, queries wait in
it for the next one.
"""

import gc
import socket
import struct
from collections.abc import Callable

from sluice_dns import metrics
from sluice_dns.map_file import LOOK_EVERY_S, MapFile
from sluice_dns.metrics import Row
from sluice_dns.responder import Responder
from sluice_runtime.logs import get_logger

log = get_logger(__name__)

# Longer queries lose their end and get FORMERR; the longest that anyone sends is some hundred bytes.
QUERY_BYTES_MAX = 4096
# A fault that every packet brings is said this often, then only counted.
FAULTS_LOGGED_MAX = 20


def address_of(host: str) -> bytes:
    """Four or sixteen bytes of the text that the kernel gives for a peer."""
    if ":" in host:
        return socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    return socket.inet_aton(host)


class Worker:
    """Answers what comes to one socket for ever."""

    def __init__(
        self,
        listener: socket.socket,
        maps: MapFile,
        *,
        server_id: str,
        row: Row,
        clock: Callable[[], float],
    ) -> None:
        self._socket = listener
        self._maps = maps
        self._server_id = server_id
        self._row = row
        self._clock = clock
        self._faults_logged = 0
        # The kernel wakes us when it is time to look at the map file, without a call of our own.
        look = struct.pack("ll", 0, int(LOOK_EVERY_S * 1e6))
        listener.setblocking(True)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, look)

    def run(self) -> None:
        # Counted before a map is: the supervisor takes a loaded map for a worker that has started.
        self._row[metrics.WORKER_STARTS] += 1
        self._maps.newer(self._clock())
        while True:
            responder = Responder(
                self._maps.view,
                server_id=self._server_id,
                row=self._row,
                address_of=address_of,
            )
            # Nothing that lives as long as the map needs to be walked by the collector.
            gc.collect()
            gc.freeze()
            self._answer_until_newer(responder)

    def _answer_until_newer(self, responder: Responder) -> None:
        receive, send, over_udp = self._socket.recvfrom, self._socket.sendto, responder.over_udp
        newer, clock = self._maps.newer, self._clock
        look_at = 0.0
        while True:
            if (now := clock()) >= look_at:
                if newer(now) is not None:
                    return
                look_at = now + LOOK_EVERY_S
            try:
                data, peer = receive(QUERY_BYTES_MAX)
            except BlockingIOError:
                continue
            try:
                reply = over_udp(data, peer[0])
            except Exception as error:
                reply = self._fail(responder, data, error)
            if reply is not None:
                try:
                    send(reply, peer)
                except OSError:
                    self._row[metrics.SEND_FAILED] += 1

    def _fail(self, responder: Responder, data: bytes, error: Exception) -> bytes | None:
        if self._faults_logged < FAULTS_LOGGED_MAX:
            self._faults_logged += 1
            log.error("query_failed", query=data.hex(), error=repr(error), exc_info=error)
        return responder.fail(data)
