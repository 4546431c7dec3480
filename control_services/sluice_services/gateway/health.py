"""What `/healthz` says: whether map and catalog are there, how old they are, and where from."""

from typing import Any

from sluice_services.following.follower import Follower


def health(
    steering: Follower[Any], catalog: Follower[Any], signing: Follower[Any], *, now: float
) -> tuple[bool, dict[str, object]]:
    """Healthy means that playback can be answered, with or without the control plane."""
    facts: dict[str, object] = {
        "map": _facts(steering, now=now),
        "catalog": _facts(catalog, now=now),
        "signing_keys": _facts(signing, now=now),
    }
    return steering.held is not None and catalog.held is not None, facts


def _facts(follower: Follower[Any], *, now: float) -> dict[str, object]:
    held = follower.held
    if held is None:
        return {"present": False, "connected": follower.connected}
    return {
        "present": True,
        "connected": follower.connected,
        "revision": held.value.revision,
        "heard_s_ago": round(max(0.0, now - held.heard_at), 3),
        "from": "disk" if held.from_disk else "control plane",
    }
