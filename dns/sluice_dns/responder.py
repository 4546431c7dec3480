"""A query in, an answer out: the fast path first, the slow path for the rest, and the counting."""

from sluice_dns import answer as zone
from sluice_dns import ecs, message, metrics, wire
from sluice_dns.message import Ignored, Query, Refused
from sluice_dns.metrics import Row
from sluice_dns.protocol import HEADER_BYTES, STREAM_PAYLOAD_BYTES, Class, Rcode
from sluice_dns.steering_map import MapView


class Responder:
    """Answers from one map, or SERVFAIL while there is none. A new map is a new responder."""

    def __init__(
        self,
        view: MapView | None,
        *,
        server_id: str,
        row: Row,
        address_of: wire.AddressOf,
    ) -> None:
        self.view = view
        self._server_id = server_id
        self._row = row
        self._address_of = address_of
        self._fast = None
        if view is not None:
            self._fast = wire.build(view, wire.Tails(view), row, address_of)

    def over_udp(self, data: bytes, host: str) -> bytes | None:
        """The answer to send back to `host`, or None for silence."""
        self._row[metrics.QUERIES_UDP] += 1
        if self._fast is not None and (reply := self._fast(data, host)) is not None:
            return reply
        return self.slowly(data, host, room_bytes=None)

    def over_stream(self, data: bytes, host: str) -> bytes | None:
        """As over_udp, without its limit of length."""
        self._row[metrics.QUERIES_TCP] += 1
        if self._fast is not None and (reply := self._fast(data, host)) is not None:
            return reply
        return self.slowly(data, host, room_bytes=STREAM_PAYLOAD_BYTES)

    def slowly(self, data: bytes, host: str, *, room_bytes: int | None) -> bytes | None:
        """Any packet, any answer."""
        try:
            query = message.read(data)
        except Ignored as ignored:
            self._row[metrics.DROPPED[str(ignored)]] += 1
            return None
        except Refused as refused:
            self._row[metrics.ANSWERS[refused.rcode]] += 1
            return refused.reply
        answer = self._decide(query, host)
        self._count(query, answer)
        room = message.room_over_udp(query) if room_bytes is None else room_bytes
        reply = message.pack(query, answer, server_id=self._server_id, room_bytes=room)
        self._row[metrics.TRUNCATED] += message.is_truncated(reply)
        return reply

    def _decide(self, query: Query, host: str) -> zone.Answer:
        match query.question.class_:
            case Class.IN if self.view is not None:
                subnet = None if query.edns is None else query.edns.subnet
                place = ecs.locate(self.view, subnet, self._address_of(host))
                return zone.decide(query.question, self.view, place)
            case Class.IN:
                return zone.NOT_READY
            case Class.CH:
                return zone.decide_about_server(query.question, self._server_id)
            case _:
                return zone.NOT_SERVED

    def _count(self, query: Query, answer: zone.Answer) -> None:
        self._row[metrics.ANSWERS[answer.rcode]] += 1
        self._row[metrics.NOBODY] += answer.nobody
        self._row[metrics.CLIENT_SUBNET] += bool(query.edns and query.edns.subnet_option)

    def fail(self, data: bytes) -> bytes | None:
        """What is said when an error of ours kept a query from its answer."""
        self._row[metrics.FAULTS] += 1
        if len(data) < HEADER_BYTES or data[2] & 0x80:
            return None
        self._row[metrics.ANSWERS[Rcode.SERVFAIL]] += 1
        return message.failure(data)
