"""Sees that what a player would ask now gives it what runs now, and not what ran before."""

import asyncio
from collections.abc import Iterable

import aiohttp

from sluice.content.v1 import content_pb2
from sluice_cli.bringup.processes import StartFailed
from sluice_cli.deployment import Deployment

PLAYABLE_TIMEOUT_S = 30.0
_POLL_S = 0.1


async def until_playable(
    deployment: Deployment, titles: Iterable[content_pb2.Title], *, data_port: int
) -> None:
    """Waits until the gateway steers every live title to the appliances' port, and DNS has a map as new.
    Raises StartFailed after PLAYABLE_TIMEOUT_S."""
    live = [title.name for title in titles if title.state == content_pb2.TITLE_STATE_LIVE]
    missing = "no answer yet"
    timeout = aiohttp.ClientTimeout(total=2.0)
    try:
        async with (
            asyncio.timeout(PLAYABLE_TIMEOUT_S),
            aiohttp.ClientSession(timeout=timeout) as web,
        ):
            while True:
                missing = await _missing(web, deployment, live, data_port)
                if not missing:
                    return
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise StartFailed(f"after {PLAYABLE_TIMEOUT_S:.0f} s: {missing}") from None


async def _missing(
    web: aiohttp.ClientSession, deployment: Deployment, titles: list[str], data_port: int
) -> str:
    """What is not as it should be; empty when nothing is."""
    revision = 0
    try:
        for title in titles:
            async with web.post(
                f"{deployment.gateway}/v1/playback",
                json={"title": title.removeprefix("titles/"), "resolve": True},
            ) as answer:
                playback = await answer.json(content_type=None)
            if answer.status != 200:
                return f"the gateway says of {title}: {playback.get('detail', answer.status)}"
            ports = {pathway["port"] for pathway in playback["pathways"]}
            if ports != {data_port}:
                return f"the gateway sends players of {title} to port {sorted(ports)}"
            revision = max(revision, playback["map_revision"])
        dns = next(entry.admin for entry in deployment.processes if entry.name == "dns")
        async with web.get(f"{dns}/healthz") as answer:
            answered = (await answer.json())["map_revision"]
    except (aiohttp.ClientError, TimeoutError) as error:
        return str(error) or type(error).__name__
    if answered < revision:
        return f"DNS answers from map {answered}, the gateway from map {revision}"
    return ""
