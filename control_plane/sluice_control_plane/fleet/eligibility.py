"""Decides whether an appliance may be named to clients, and for which buckets not. Pure."""

from collections.abc import Collection, Iterable, Mapping

from sluice.content.v1 import content_pb2
from sluice_control_plane.content.titles import is_live, version_name
from sluice_control_plane.fleet.health import Health

# Autonomy is promised for 72 hours; what was true before then is not worth naming.
BELIEVED_WITHOUT_NEWS_S = 72 * 3600.0


def withheld(health: Health, health_reason: str, *, drained: bool, enrolled: bool) -> str:
    """Why it is named for nothing at all; empty where it may be named."""
    if not enrolled:
        return "has not enrolled"
    if health is not Health.UP:
        return f"{health.value}: {health_reason}"
    return "drained" if drained else ""


def last_resort(
    health: Health, *, silent: bool, drained: bool, enrolled: bool, unheard_s: float
) -> bool:
    """Whether it is named all the same when otherwise nobody in the fleet would be.

    Everybody silent at once is more likely our own trouble, a cut between the control plane and the
    fleet, than everybody's death; and naming a dead box costs a viewer no more than naming nobody.
    One that says itself that it cannot serve is taken at its word.
    """
    return (
        enrolled
        and not drained
        and silent
        and health is Health.DOWN
        and unheard_s <= BELIEVED_WITHOUT_NEWS_S
    )


def excluded(
    titles: Iterable[content_pb2.Title], complete_titles: Collection[str]
) -> Mapping[int, str]:
    """The buckets with a live title that it does not hold whole, and which title that is."""
    return {
        title.bucket: f"does not hold {title.name} {title.version} yet"
        for title in titles
        if is_live(title) and version_name(title) not in complete_titles
    }
