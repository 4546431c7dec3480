"""What the API takes and gives. Requests are checked against these, answers are written from them,
and the OpenAPI document is drawn from them, so that the three cannot differ."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from sluice_services.catalog import titles
from sluice_services.playback import decide

TITLE_PATTERN = r"^(titles/)?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"

Url = Annotated[str, Meta(extra_json_schema={"format": "uri"})]


class Rendition(Struct, frozen=True):
    """One encoding of a title."""

    id: str
    codecs: str
    width: Annotated[int, Meta(description="Pixels; 0 for audio.")]
    height: Annotated[int, Meta(description="Pixels; 0 for audio.")]
    bitrate_kbps: int
    language: str


class Title(Struct, frozen=True):
    """A film or an episode."""

    name: Annotated[str, Meta(description="`titles/{title}`.")]
    display_name: str
    state: Annotated[
        Literal["filling", "live"], Meta(description="Only a title that is `live` can be played.")
    ]
    duration_s: float
    attribution: Annotated[str, Meta(description="Who must be named when it is shown.")]
    version: str
    create_time: datetime
    renditions: list[Rendition]


class TitlePage(Struct, frozen=True):
    """Titles in order of name."""

    titles: list[Title]
    next_page_token: Annotated[str, Meta(description="Empty on the last page.")]
    revision: Annotated[int, Meta(description="Grows with every change of the catalog.")]


class PlaybackRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Asks where to play a title from."""

    title: Annotated[
        str,
        Meta(
            pattern=TITLE_PATTERN, max_length=70, description="`big-buck-bunny` or its full name."
        ),
    ]
    client_address: Annotated[
        str | None,
        Meta(
            description="The viewer's IPv4 or IPv6 address. Counts only from a trusted proxy; from"
            " anybody else the caller's own address does."
        ),
    ] = None
    resolve: Annotated[
        bool,
        Meta(description="Give addresses that are steered already, instead of names for our DNS."),
    ] = False


class Integrity(Struct, frozen=True):
    """The file with the SHA-256 of every segment."""

    url: Url
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    size_bytes: int


class Pathway(Struct, frozen=True):
    """One way to the title."""

    id: str
    rank: Annotated[int, Meta(description="1 is the best; go to the next when one fails.")]
    site: str | None
    appliance: str | None
    host: str
    port: int
    hls_url: Url
    dash_url: Url
    integrity_url: Url


class Playback(Struct, frozen=True):
    """Where to play a title from, best first."""

    title: str
    display_name: str
    attribution: str
    expires_at: Annotated[datetime, Meta(description="Ask again after this.")]
    map_revision: Annotated[int, Meta(description="The steering map that decided.")]
    class_index: Annotated[int, Meta(description="The viewer's class in that map; 0 is default.")]
    hls_url: Url
    dash_url: Url
    integrity: Integrity
    pathways: Annotated[list[Pathway], Meta(min_length=1, max_length=decide.PATHWAYS_MAX)]


class FieldError(Struct, frozen=True):
    """What is wrong with one field."""

    pointer: Annotated[str, Meta(description="JSON Pointer into the body (RFC 6901).")]
    detail: str


class Problem(Struct, frozen=True, omit_defaults=True):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[FieldError] = []


def title_answer(title: titles.Title) -> Title:
    return Title(
        name=title.name,
        display_name=title.display_name,
        state=title.state.value,
        duration_s=title.duration_s,
        attribution=title.attribution,
        version=title.version,
        create_time=title.created_at,
        renditions=[
            Rendition(
                rendition.rendition_id,
                rendition.codecs,
                rendition.width,
                rendition.height,
                rendition.bitrate_kbps,
                rendition.language,
            )
            for rendition in title.renditions
        ],
    )


def playback_answer(
    title: titles.Title, decision: decide.Decision, *, map_revision: int, expires_at: datetime
) -> Playback:
    best = decision.pathways[0]
    return Playback(
        title=title.name,
        display_name=title.display_name,
        attribution=title.attribution,
        expires_at=expires_at,
        map_revision=map_revision,
        class_index=decision.class_index,
        hls_url=best.url(title.hls_key),
        dash_url=best.url(title.dash_key),
        integrity=Integrity(
            best.url(title.integrity_key),
            title.integrity_sha256.hex(),
            title.integrity_size_bytes,
        ),
        pathways=[_pathway(title, pathway) for pathway in decision.pathways],
    )


def _pathway(title: titles.Title, pathway: decide.Pathway) -> Pathway:
    return Pathway(
        id=pathway.pathway_id,
        rank=pathway.rank,
        site=pathway.site,
        appliance=pathway.appliance,
        host=pathway.host,
        port=pathway.port,
        hls_url=pathway.url(title.hls_key),
        dash_url=pathway.url(title.dash_key),
        integrity_url=pathway.url(title.integrity_key),
    )


encode = msgspec.json.Encoder().encode
