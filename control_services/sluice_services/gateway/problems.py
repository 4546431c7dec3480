"""Errors as clients see them: `application/problem+json` (RFC 9457)."""

import re
from http import HTTPStatus

import msgspec
from aiohttp import web

from sluice_services.gateway import api

PROBLEM_TYPE = "application/problem+json"
# How long a client waits before it comes again, for what passes by itself.
RETRY_AFTER_S = 2

_AT = re.compile(r"^(?P<detail>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)
_FIELD = re.compile(r"`(?P<name>[^`]+)`$")


class ProblemRaised(Exception):
    """Ends a request with a problem."""

    def __init__(
        self, status: int, detail: str, *, errors: tuple[api.FieldError, ...] = ()
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors


def field_problem(field: str, detail: str) -> ProblemRaised:
    """400 that names one field of the body."""
    return ProblemRaised(400, f"{field}: {detail}", errors=(api.FieldError(f"/{field}", detail),))


def body_problem(error: msgspec.DecodeError) -> ProblemRaised:
    """400 for a body that is no JSON (DecodeError) or not what is asked for (ValidationError)."""
    if not isinstance(error, msgspec.ValidationError):
        return ProblemRaised(400, f"the body is not JSON: {error}")
    match = _AT.match(str(error))
    assert match is not None
    detail = match["detail"]
    path = (match["path"] or "").lstrip(".")
    if not path and (named := _FIELD.search(detail)):
        # "Object missing required field `title`", "Object contains unknown field `x`".
        path = named["name"]
    if not path:
        return ProblemRaised(400, f"the body: {detail}")
    return field_problem(path, detail)


def problem_response(
    status: int, detail: str, request_id: str, errors: tuple[api.FieldError, ...] = ()
) -> web.Response:
    body = api.Problem(
        type="about:blank",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        request_id=request_id,
        errors=list(errors),
    )
    response = web.Response(status=status, body=api.encode(body), content_type=PROBLEM_TYPE)
    response.headers["Cache-Control"] = "no-store"
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response
