"""What can be asked of the gateway. The application and the OpenAPI document are both made of this."""

from dataclasses import dataclass
from typing import Any

from sluice_services.gateway import api


@dataclass(frozen=True, slots=True)
class Parameter:
    """Something in the path or the query."""

    name: str
    where: str
    schema: dict[str, Any]
    sentence: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    operation_id: str
    method: str
    path: str
    summary: str
    # What 200 carries: one of `api`'s, or a media type where it is not JSON of ours.
    answer: type | str
    request: type | None = None
    parameters: tuple[Parameter, ...] = ()
    # Each status that is not 200, and when it comes.
    problems: tuple[tuple[int, str], ...] = ()


PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1_000
_NO_CATALOG = (503, "The catalog has not been heard yet; `Retry-After` says when to come again.")
_JSON = "application/json"

LIST_TITLES = Operation(
    "listTitles",
    "GET",
    "/v1/titles",
    "Titles in order of name.",
    api.TitlePage,
    parameters=(
        Parameter(
            "page_size",
            "query",
            {
                "type": "integer",
                "minimum": 1,
                "maximum": PAGE_SIZE_MAX,
                "default": PAGE_SIZE_DEFAULT,
            },
            "At most this many.",
        ),
        Parameter("page_token", "query", {"type": "string"}, "From an earlier page."),
    ),
    problems=((400, "A parameter is wrong; the detail names it."), _NO_CATALOG),
)
GET_TITLE = Operation(
    "getTitle",
    "GET",
    "/v1/titles/{title}",
    "One title.",
    api.Title,
    parameters=(Parameter("title", "path", {"type": "string"}, "Its id."),),
    problems=((404, "There is no such title."), _NO_CATALOG),
)
CREATE_PLAYBACK = Operation(
    "createPlayback",
    "POST",
    "/v1/playback",
    "Where to play a title from, for this viewer, best first.",
    api.Playback,
    request=api.PlaybackRequest,
    problems=(
        (400, "The body is not JSON, or a field is wrong: `errors` names it."),
        (404, "There is no such title."),
        (408, "The body came too slowly."),
        (409, "The title is not live yet."),
        (413, "The body is too long."),
        (503, "Nobody can be named, or neither map nor catalog has been heard yet."),
    ),
)
DESCRIBE = Operation("getOpenapi", "GET", "/v1/openapi.json", "This document.", _JSON)
HEALTH = Operation(
    "getHealth",
    "GET",
    "/healthz",
    "Whether map and catalog are there, and how old they are.",
    _JSON,
    problems=((503, "One of them is missing; the body is that of 200."),),
)
METRICS = Operation("getMetrics", "GET", "/metrics", "Counters for Prometheus.", "text/plain")

OPERATIONS = (LIST_TITLES, GET_TITLE, CREATE_PLAYBACK, DESCRIBE, HEALTH, METRICS)
