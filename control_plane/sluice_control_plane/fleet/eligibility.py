"""Decides whether an appliance may be named to clients, and for which buckets not. Pure."""

from collections.abc import Collection, Iterable, Mapping

from sluice.content.v1 import content_pb2
from sluice_control_plane.content.titles import is_live, version_name
from sluice_control_plane.fleet.health import Health


def withheld(health: Health, health_reason: str, *, drained: bool, enrolled: bool) -> str:
    """Why it is named for nothing at all; empty where it may be named."""
    if not enrolled:
        return "has not enrolled"
    if health is not Health.UP:
        return f"{health.value}: {health_reason}"
    return "drained" if drained else ""


def excluded(
    titles: Iterable[content_pb2.Title], complete_titles: Collection[str]
) -> Mapping[int, str]:
    """The buckets with a live title that it does not hold whole, and which title that is."""
    return {
        title.bucket: f"does not hold {title.name} {title.version} yet"
        for title in titles
        if is_live(title) and version_name(title) not in complete_titles
    }
