"""Asks the gateway what to play and where: `POST /v1/playback`."""

import json
import posixpath
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from sluice_cli.playing.errors import PlaybackRefused
from sluice_cli.playing.integrity import Expected

TIMEOUT_S = 10.0
PATHWAYS_MAX = 16
ANSWER_BYTES_MAX = 1 << 20
# integrity.json of a day of film in six renditions is about 10 MB.
INTEGRITY_BYTES_MAX = 64 << 20


@dataclass(frozen=True, slots=True)
class Pathway:
    """One way to the title: a name (or an address), and the folder of the version there."""

    pathway_id: str
    scheme: str
    host: str
    port: int
    folder: str
    # The file of the multivariant playlist.
    master: str
    # `a-1` where the gateway named one appliance.
    appliance: str | None


@dataclass(frozen=True, slots=True)
class Playback:
    """What the gateway answered."""

    title: str
    display_name: str
    attribution: str
    integrity: Expected
    pathways: tuple[Pathway, ...]


async def ask(gateway: str, title: str, client: str | None, *, resolve: bool = False) -> Playback:
    """Raises PlaybackRefused with what the gateway said."""
    body: dict[str, object] = {"title": title}
    if client is not None:
        body["client_address"] = client
    if resolve:
        body["resolve"] = True
    url = gateway.rstrip("/") + "/v1/playback"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session,
            session.post(url, json=body) as response,
        ):
            answer = json.loads(await _read(response))
            status = response.status
    except (aiohttp.ClientConnectorError, TimeoutError):
        raise PlaybackRefused(
            f"the gateway at {gateway} does not answer; is `sluice up` running?"
        ) from None
    except (aiohttp.ClientError, ValueError, OSError) as error:
        raise PlaybackRefused(f"the gateway at {gateway} answers nonsense: {error}") from None
    if status != 200:
        raise PlaybackRefused(_refusal(gateway, status, answer, title))
    return parse(answer, gateway=gateway)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    text = bytearray()
    async for chunk in response.content.iter_chunked(65536):
        text += chunk
        if len(text) > ANSWER_BYTES_MAX:
            raise ValueError(f"more than {ANSWER_BYTES_MAX} bytes")
    return bytes(text)


def parse(answer: Any, *, gateway: str) -> Playback:
    """Raises PlaybackRefused where a field is missing or is not what the API says."""
    try:
        pathways = tuple(_pathway(entry) for entry in answer["pathways"][:PATHWAYS_MAX])
        if not pathways:
            raise ValueError("no pathways")
        integrity = answer["integrity"]
        size_bytes = int(integrity["size_bytes"])
        if not 0 < size_bytes <= INTEGRITY_BYTES_MAX:
            raise ValueError(f"integrity.json of {size_bytes} bytes")
        file = posixpath.basename(urlsplit(integrity["url"]).path)
        return Playback(
            title=str(answer["title"]),
            display_name=str(answer["display_name"]),
            attribution=str(answer["attribution"]),
            integrity=Expected(file, None, size_bytes, str(integrity["sha256"])),
            pathways=pathways,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PlaybackRefused(
            f"the gateway at {gateway} answers without what a player needs: {error!r}"
        ) from None


def _pathway(entry: Any) -> Pathway:
    parts = urlsplit(entry["hls_url"])
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"hls_url {entry['hls_url']!r}")
    folder, _, master = parts.path.rpartition("/")
    appliance = entry.get("appliance")
    return Pathway(
        pathway_id=str(entry["id"]),
        scheme=parts.scheme,
        host=parts.hostname,
        port=parts.port or (443 if parts.scheme == "https" else 80),
        folder=folder + "/",
        master=master,
        appliance=None if appliance is None else str(appliance).removeprefix("appliances/"),
    )


def _refusal(gateway: str, status: int, answer: Any, title: str) -> str:
    """RFC 9457: `detail` speaks of this occurrence, `title` of the kind."""
    problem = answer if isinstance(answer, dict) else {}
    said = problem.get("detail") or problem.get("title") or f"status {status}"
    match status:
        case 404:
            return f"there is no title {title!r} ({said}); see: sluice title list"
        case 409:
            return f"{title} is not live yet ({said}); see: sluice title list"
        case 503:
            return f"nobody can serve {title} ({said}); see: sluice fleet list"
        case _:
            return f"the gateway at {gateway} refuses: {said}"
