"""The application: the operations, the page, the metrics, and what stands around them."""

from collections.abc import Callable, Mapping

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from sluice_services.gateway import api, routes
from sluice_services.gateway.handlers import Handlers
from sluice_services.gateway.middleware import request_guard
from sluice_services.gateway.openapi import openapi_document
from sluice_services.gateway.page import PageFile, page_handler
from sluice_services.metrics import GatewayMetrics

Health = Callable[[], tuple[bool, Mapping[str, object]]]


def make_app(
    handlers: Handlers,
    *,
    page: Mapping[str, PageFile],
    health: Health,
    metrics: GatewayMetrics,
    body_max_bytes: int,
    request_timeout_s: float,
    requests_in_flight_max: int,
    clock: Callable[[], float],
) -> web.Application:
    guard = request_guard(
        metrics, timeout_s=request_timeout_s, in_flight_max=requests_in_flight_max, clock=clock
    )
    app = web.Application(middlewares=[guard], client_max_size=body_max_bytes)
    acts: dict[str, Handler] = {
        routes.LIST_TITLES.operation_id: handlers.list_titles,
        routes.GET_TITLE.operation_id: handlers.get_title,
        routes.CREATE_PLAYBACK.operation_id: handlers.create_playback,
        routes.DESCRIBE.operation_id: _document(),
        routes.HEALTH.operation_id: _healthz(health),
        routes.METRICS.operation_id: _metrics(metrics),
    }
    for operation in routes.OPERATIONS:
        app.router.add_route(operation.method, operation.path, acts[operation.operation_id])
        if operation.method == "GET":
            app.router.add_route("HEAD", operation.path, acts[operation.operation_id])
    # Every path but the API's: there, a wrong method is a 405 and no missing file.
    app.router.add_get("/{file:(?!v1/).*}", page_handler(page))
    return app


def _document() -> Handler:
    body = api.encode(openapi_document())

    async def document(_: web.Request) -> web.Response:
        return web.Response(
            body=body, content_type="application/json", headers={"Cache-Control": "no-cache"}
        )

    return document


def _healthz(health: Health) -> Handler:
    async def healthz(_: web.Request) -> web.Response:
        healthy, facts = health()
        return web.Response(
            status=200 if healthy else 503,
            body=api.encode({"healthy": healthy, **facts}),
            content_type="application/json",
            headers={"Cache-Control": "no-store"},
        )

    return healthz


def _metrics(metrics: GatewayMetrics) -> Handler:
    async def exposition(_: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(metrics.registry),
            headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4},
        )

    return exposition
