"""Asks our DNS for addresses as the client's resolver would: with its subnet (RFC 7871), UDP then TCP."""

import asyncio
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

import dns.asyncquery
import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from sluice_cli.playing.errors import NameUnresolved

# RFC 7871 11.1: resolvers tell this much of a client's address.
ECS_IPV4_BITS = 24
ECS_IPV6_BITS = 56
# What fits into a packet everywhere (DNS flag day 2020).
UDP_PAYLOAD_BYTES = 1232
QUERY_TIMEOUT_S = 1.0
QUERY_ATTEMPTS_MAX = 3
ADDRESSES_MAX = 16
NAMES_CACHED_MAX = 64
# A TTL longer than this is a mistake, or somebody's.
TTL_MAX_S = 3600.0
# RFC 8767: what was known before is used this long while DNS is silent.
STALE_TTL_S = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Addresses in the order of the answer, and until when they may be used."""

    addresses: tuple[str, ...]
    expires_at: float


class SteeredResolver:
    """Resolves names at one server, on behalf of a client's subnet, and honours time to live."""

    def __init__(
        self, server: tuple[str, int], *, client: str | None, clock: Callable[[], float]
    ) -> None:
        self._server = server
        self._client = None if client is None else ipaddress.ip_address(client)
        self._clock = clock
        self._answers: dict[str, Answer] = {}
        self.queries = 0

    async def resolve(self, host: str, *, fresh: bool) -> tuple[str, ...]:
        """At least one address. `fresh` asks even if a known answer has time left. Raises NameUnresolved."""
        known = self._answers.get(host)
        if known is not None and not fresh and self._clock() < known.expires_at:
            return known.addresses
        try:
            answer = await self._ask(host)
        except (dns.exception.Timeout, OSError) as error:
            if known is None:
                raise NameUnresolved(f"{host}: {self._named()} does not answer ({error})") from None
            answer = Answer(known.addresses, self._clock() + STALE_TTL_S)
        self._remember(host, answer)
        return answer.addresses

    async def _ask(self, host: str) -> Answer:
        kinds = [dns.rdatatype.A, dns.rdatatype.AAAA]
        if isinstance(self._client, ipaddress.IPv6Address):
            kinds.reverse()
        outcomes = await asyncio.gather(
            *(self._query(host, kind) for kind in kinds), return_exceptions=True
        )
        addresses: list[str] = []
        ttl_s = TTL_MAX_S
        for kind, outcome in zip(kinds, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                continue
            for rrset in outcome.answer:
                if rrset.rdtype == kind:
                    addresses += [record.address for record in rrset]
                    ttl_s = min(ttl_s, float(rrset.ttl))
        if not addresses:
            # One family that has no answer is no harm while the other has one.
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
            raise NameUnresolved(f"{host}: {self._named()} names nobody")
        return Answer(tuple(addresses[:ADDRESSES_MAX]), self._clock() + ttl_s)

    async def _query(self, host: str, kind: dns.rdatatype.RdataType) -> dns.message.Message:
        options: list[dns.edns.Option] = []
        if self._client is not None:
            options.append(_client_subnet(self._client))
        query = dns.message.make_query(
            host, kind, use_edns=0, payload=UDP_PAYLOAD_BYTES, options=options
        )
        # We are the resolver: the server is authoritative.
        query.flags &= ~dns.flags.RD
        try:
            response = await self._exchange(query)
        except (dns.exception.Timeout, OSError):
            raise
        except (dns.exception.DNSException, EOFError, ValueError) as error:
            raise NameUnresolved(f"{host}: {self._named()} answers nonsense: {error}") from None
        if response.rcode() != dns.rcode.NOERROR:
            said = dns.rcode.to_text(response.rcode())
            raise NameUnresolved(f"{host}: {self._named()} answers {said}")
        return response

    async def _exchange(self, query: dns.message.Message) -> dns.message.Message:
        """A packet may be lost: asked again up to QUERY_ATTEMPTS_MAX times."""
        address, port = self._server
        attempts = 0
        while True:
            attempts += 1
            self.queries += 1
            try:
                response, _ = await dns.asyncquery.udp_with_fallback(
                    query, address, timeout=QUERY_TIMEOUT_S, port=port, ignore_unexpected=True
                )
                return response
            except dns.exception.Timeout:
                if attempts == QUERY_ATTEMPTS_MAX:
                    raise

    def _remember(self, host: str, answer: Answer) -> None:
        self._answers.pop(host, None)
        if len(self._answers) >= NAMES_CACHED_MAX:
            del self._answers[next(iter(self._answers))]
        self._answers[host] = answer

    def _named(self) -> str:
        return f"DNS at {self._server[0]}:{self._server[1]}"


def _client_subnet(client: ipaddress.IPv4Address | ipaddress.IPv6Address) -> dns.edns.ECSOption:
    bits = ECS_IPV4_BITS if client.version == 4 else ECS_IPV6_BITS
    return dns.edns.ECSOption(str(client), bits)
