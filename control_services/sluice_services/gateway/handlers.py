"""What each operation does: read the request, ask the decision, write the answer."""

import ipaddress
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
from aiohttp import web

from sluice_services.catalog.titles import Catalog, State, Title
from sluice_services.following.follower import Follower
from sluice_services.gateway import api
from sluice_services.gateway.problems import ProblemRaised, body_problem, field_problem
from sluice_services.gateway.routes import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX
from sluice_services.metrics import GatewayMetrics
from sluice_services.playback.client import IPNetwork, Viewer, viewer
from sluice_services.playback.decide import NobodyToName, decide
from sluice_services.playback.steering_map import IPAddress, SteeringView
from sluice_services.playback.tokens import SigningKeys, signed

_decode_playback = msgspec.json.Decoder(api.PlaybackRequest).decode
# The catalog changes rarely; a page may show it a moment late.
_CATALOG_CACHE = "no-cache"


@dataclass(frozen=True, slots=True)
class Handlers:
    """The API over what is followed."""

    catalog: Follower[Catalog]
    steering: Follower[SteeringView]
    signing: Follower[SigningKeys]
    trusted: Sequence[IPNetwork]
    url_lifetime_s: int
    metrics: GatewayMetrics
    clock: Callable[[], float]

    async def list_titles(self, request: web.Request) -> web.Response:
        catalog = self._catalog()
        size = _page_size(request.query.get("page_size"))
        titles, more = catalog.page(request.query.get("page_token", ""), size)
        page = api.TitlePage(
            [api.title_answer(title) for title in titles],
            titles[-1].name if more else "",
            catalog.revision,
        )
        return _json(page, cache=_CATALOG_CACHE)

    async def get_title(self, request: web.Request) -> web.Response:
        return _json(
            api.title_answer(self._title(request.match_info["title"])), cache=_CATALOG_CACHE
        )

    async def create_playback(self, request: web.Request) -> web.Response:
        try:
            answer = await self._playback(request)
        except ProblemRaised as problem:
            self.metrics.playbacks.labels(_OUTCOMES.get(problem.status, "refused")).inc()
            raise
        self.metrics.playbacks.labels("named").inc()
        return _json(answer, cache="no-store")

    async def _playback(self, request: web.Request) -> api.Playback:
        try:
            asked = _decode_playback(await request.read())
        except UnicodeDecodeError as error:
            raise ProblemRaised(400, f"the body is not UTF-8: {error.reason}") from None
        except msgspec.DecodeError as error:
            raise body_problem(error) from None
        who = self._viewer(request, asked.client_address)
        title = self._title(asked.title.removeprefix("titles/"))
        if title.state is not State.LIVE:
            raise ProblemRaised(409, f"{title.name} is {title.state.value}, not live yet")
        if self.steering.held is None:
            raise ProblemRaised(503, "no steering map has been heard yet")
        view = self.steering.held.value
        try:
            decision = decide(view, who.address, title.bucket, resolve=asked.resolve)
        except NobodyToName as error:
            raise ProblemRaised(503, str(error)) from None
        now = self.clock()
        expires_at = math.floor(now) + self.url_lifetime_s
        return api.playback_answer(
            self._signed(title, now, expires_at),
            decision,
            map_revision=view.revision,
            expires_at=datetime.fromtimestamp(expires_at, UTC),
        )

    def _signed(self, title: Title, now: float, expires_at: float) -> Title:
        keys = None if self.signing.held is None else self.signing.held.value
        if keys is not None and keys.signs:
            self.metrics.tokens_signed.inc()
        return signed(title, keys, now=now, expires_at=expires_at)

    def _viewer(self, request: web.Request, named: str | None) -> Viewer:
        who = viewer(_caller(request), _address(named), self.trusted)
        if who.ignored:
            self.metrics.proxy_address_ignored.inc()
        return who

    def _catalog(self) -> Catalog:
        if self.catalog.held is None:
            raise ProblemRaised(503, "no catalog has been heard yet")
        return self.catalog.held.value

    def _title(self, title_id: str) -> Title:
        title = self._catalog().titles.get(f"titles/{title_id}")
        if title is None:
            raise ProblemRaised(404, f"there is no titles/{title_id[:80]}")
        return title


_OUTCOMES = {400: "bad_request", 404: "unknown_title", 409: "not_live", 503: "nobody"}


def _page_size(text: str | None) -> int:
    if text is None:
        return PAGE_SIZE_DEFAULT
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= PAGE_SIZE_MAX):
        raise ProblemRaised(400, f"page_size is {text[:20]!r}, expected 1..{PAGE_SIZE_MAX}")
    return int(text)


def _address(named: str | None) -> IPAddress | None:
    if named is None:
        return None
    try:
        return ipaddress.ip_address(named)
    except ValueError:
        raise field_problem(
            "client_address", f"{named[:80]!r} is no IPv4 or IPv6 address"
        ) from None


def _caller(request: web.Request) -> IPAddress:
    """Who stands at the other end of the connection; never what a header says."""
    peer = None if request.transport is None else request.transport.get_extra_info("peername")
    if not peer:
        raise ConnectionResetError("the caller has gone")
    return ipaddress.ip_address(peer[0].partition("%")[0])


def _json(answer: msgspec.Struct, *, cache: str) -> web.Response:
    return web.Response(
        body=api.encode(answer),
        content_type="application/json",
        headers={"Cache-Control": cache},
    )
