"""What this appliance should hold, as the control plane signed it."""

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from google.protobuf.message import DecodeError

from sluice.fill.v1 import fill_pb2
from sluice_appliance.fill.policy import NO_LIMITS, FillPolicy, Priority
from sluice_appliance.fill.windows import FillWindow
from sluice_appliance.object_key import InvalidObjectKey, ObjectKey, parse_key, title_of
from sluice_appliance.store.layout import LayoutError, ObjectHeader, check_header
from sluice_runtime.signatures import SignatureRefused, Verifier

PURPOSE = "sluice.fill.v1.FillManifest"
# Each is placed on days at every plan; a few a day for a week are far fewer.
WINDOWS_MAX = 64
_PRIORITIES = {
    fill_pb2.FILL_PRIORITY_NEW_RELEASE: Priority.NEW_RELEASE,
    fill_pb2.FILL_PRIORITY_EMERGENCY: Priority.EMERGENCY,
}


class Refusal(enum.Enum):
    """Why a manifest was not taken; the label of its counter."""

    SIGNATURE = "signature"
    MALFORMED = "malformed"
    OTHER_APPLIANCE = "other_appliance"
    OLDER = "older"


class ManifestRefused(Exception):
    """The manifest that is held stays in force."""

    def __init__(self, refusal: Refusal, message: str) -> None:
        super().__init__(message)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class WantedTitle:
    """One version of one title: all of its objects, or it is not held."""

    title: str
    version: str
    objects: tuple[ObjectHeader, ...]
    # What clients are expected to take of it; 0 where nobody knows.
    demand_bytes_per_s: float = 0.0
    priority: Priority = Priority.NORMAL
    # Made once: every plan asks for them.
    size_bytes: int = field(init=False, compare=False, repr=False)
    by_key: Mapping[ObjectKey, ObjectHeader] = field(init=False, compare=False, repr=False)
    # What all keys begin with; None where they do not begin alike.
    keys_begin: str | None = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        size_bytes = sum([wanted.size_bytes for wanted in self.objects])
        object.__setattr__(self, "size_bytes", size_bytes)
        object.__setattr__(self, "by_key", {wanted.key: wanted for wanted in self.objects})
        names = {title_of(wanted.key) for wanted in self.objects}
        object.__setattr__(self, "keys_begin", names.pop() if len(names) == 1 else None)


@dataclass(frozen=True, slots=True)
class Manifest:
    """Titles in order of importance, the most wanted first."""

    revision: int
    titles: tuple[WantedTitle, ...]
    policy: FillPolicy = NO_LIMITS


def open_manifest(
    signed: fill_pb2.SignedManifest, *, verifier: Verifier, appliance: str, held_revision: int
) -> Manifest:
    """Verifies, then reads. `appliance` is `appliances/{appliance}`. Raises ManifestRefused."""
    try:
        verifier.verify(PURPOSE, signed.payload, signature=signed.signature, by=signed.key_id)
    except SignatureRefused as error:
        raise ManifestRefused(Refusal.SIGNATURE, str(error)) from None
    try:
        message = fill_pb2.FillManifest.FromString(signed.payload)
        manifest = Manifest(
            message.revision,
            tuple(_title(title) for title in message.titles),
            _policy(message.policy),
        )
        _check_names(manifest)
    except (DecodeError, InvalidObjectKey, LayoutError, ValueError) as error:
        raise ManifestRefused(Refusal.MALFORMED, f"the manifest: {error}") from None
    if message.appliance != appliance:
        raise ManifestRefused(
            Refusal.OTHER_APPLIANCE,
            f"the manifest is for {message.appliance!r}, this is {appliance!r}",
        )
    if manifest.revision < held_revision:
        raise ManifestRefused(
            Refusal.OLDER, f"the manifest is revision {manifest.revision}, {held_revision} is held"
        )
    return manifest


def _title(title: fill_pb2.FillTitle) -> WantedTitle:
    demand = title.demand_bytes_per_s
    if not 0 <= demand < math.inf:
        raise ValueError(f"demand_bytes_per_s of {title.title} is {demand}, expected 0 or more")
    return WantedTitle(
        title.title,
        title.version,
        tuple(_object(wanted) for wanted in title.objects),
        demand,
        # One that is not known here yet is no reason to go without the rest.
        _PRIORITIES.get(title.priority, Priority.NORMAL),
    )


def _object(wanted: fill_pb2.FillObject) -> ObjectHeader:
    header = ObjectHeader(
        parse_key(wanted.key), wanted.size_bytes, wanted.sha256, wanted.content_type
    )
    check_header(header)
    return header


def _policy(policy: fill_pb2.FillPolicy) -> FillPolicy:
    if len(policy.windows) > WINDOWS_MAX:
        raise ValueError(f"{len(policy.windows)} windows, at most {WINDOWS_MAX}")
    return FillPolicy(
        windows=tuple(_window(window) for window in policy.windows),
        window_bytes_max=policy.window_bytes_max or None,
        rate_bits_per_s_max=policy.rate_bits_per_s_max or None,
        billed_percentile=policy.billed_percentile or None,
        drive_writes_per_day=policy.drive_writes_per_day or None,
        stop_below_unit_roi=policy.stop_below_unit_roi,
    )


def _window(window: fill_pb2.FillWindow) -> FillWindow:
    return FillWindow(
        window.start_minute,
        window.duration_minutes,
        frozenset(window.weekdays),
        _zone(window.time_zone or "UTC"),
    )


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    # Names that are folders, or too long for a file, reach the file system.
    except (KeyError, OSError, ValueError):
        raise ValueError(f"time zone {name[:64]!r} is not known here") from None


def _check_names(manifest: Manifest) -> None:
    seen: set[str] = set()
    for title in manifest.titles:
        for wanted in title.objects:
            if wanted.key in seen:
                raise ValueError(f"{wanted.key} is named twice")
            seen.add(wanted.key)
