"""Around every request: an id, a bound on time and number, problems for errors, headers, counters."""

import asyncio
import re
import secrets
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from sluice_runtime.logs import get_logger
from sluice_services.gateway.problems import ProblemRaised, problem_response
from sluice_services.metrics import GatewayMetrics

log = get_logger(__name__)


REQUEST_ID = web.RequestKey("request_id", str)
REQUEST_ID_HEADER = "X-Request-Id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

# The page plays media from appliances anywhere, so `connect-src` and `media-src` are wide;
# everything that could run or be shown comes from here.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self' http: https:; media-src 'self' blob: http: https:; worker-src blob:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
}
# Apps of any origin may call the API; it knows no cookies.
CORS_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, POST, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, X-Request-Id",
    "Access-Control-Expose-Headers": "X-Request-Id, Retry-After",
    "Access-Control-Max-Age": "86400",
}
API_PREFIX = "/v1/"


def request_guard(
    metrics: GatewayMetrics,
    *,
    timeout_s: float,
    in_flight_max: int,
    clock: Callable[[], float],
) -> Middleware:
    """The only middleware: what happens around a request stands in one place, in order."""
    in_flight = 0

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal in_flight
        started_at = clock()
        request[REQUEST_ID] = _request_id(request)
        in_flight += 1
        try:
            if in_flight > in_flight_max:
                metrics.overloaded.inc()
                response: web.StreamResponse = _problem(
                    request, 503, f"{in_flight_max} requests are being answered; try again"
                )
            else:
                response = await _answer(request, handler, metrics, timeout_s)
        finally:
            in_flight -= 1
        _dress(request, response)
        route = route_label(request)
        metrics.requests.labels(route, str(response.status)).inc()
        metrics.request_seconds.labels(route).observe(clock() - started_at)
        return response

    return guard


async def _answer(
    request: web.Request, handler: Handler, metrics: GatewayMetrics, timeout_s: float
) -> web.StreamResponse:
    try:
        async with asyncio.timeout(timeout_s):
            return await _preflight_or(request, handler)
    except ProblemRaised as problem:
        return _problem(request, problem.status, problem.detail, problem.errors)
    except TimeoutError:
        metrics.timeouts.inc()
        late = _problem(request, 408, f"the request took longer than {timeout_s} s")
        late.force_close()
        return late
    except web.HTTPException as refused:
        answer = _problem(request, refused.status, _why(request, refused))
        if "Allow" in refused.headers:
            answer.headers["Allow"] = refused.headers["Allow"]
        return answer
    except ConnectionError:
        raise
    except Exception as error:
        metrics.failures.inc()
        log.error(
            "request_failed", path=request.path, request_id=request[REQUEST_ID], exc_info=error
        )
        return _problem(request, 500, "an error of ours; the log has it under the request_id")


async def _preflight_or(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.method == "OPTIONS" and request.path.startswith(API_PREFIX):
        return web.Response(status=204)
    return await handler(request)


def _dress(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SECURITY_HEADERS)
    response.headers[REQUEST_ID_HEADER] = request[REQUEST_ID]
    if request.path.startswith(API_PREFIX):
        response.headers.update(CORS_HEADERS)


def _problem(request: web.Request, status: int, detail: str, errors: Any = ()) -> web.Response:
    return problem_response(status, detail, request[REQUEST_ID], errors)


def _why(request: web.Request, refused: web.HTTPException) -> str:
    match refused:
        case web.HTTPNotFound():
            return f"there is nothing at {request.path[:200]}"
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(refused.allowed_methods))
            return f"{request.path[:200]} takes {allowed}, not {request.method}"
        case web.HTTPRequestEntityTooLarge():
            return f"the body is longer than {request.client_max_size} bytes"
        case _:
            return refused.reason


def _request_id(request: web.Request) -> str:
    """The caller's own, where it is one that can stand in a log; else a new one."""
    named = request.headers.get(REQUEST_ID_HEADER, "")
    return named if _REQUEST_ID.fullmatch(named) else secrets.token_hex(8)


def route_label(request: web.Request) -> str:
    """The route's pattern, never the path: there are as many paths as people make up."""
    resource = request.match_info.route.resource
    return "none" if resource is None else resource.canonical
