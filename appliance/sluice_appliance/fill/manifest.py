"""What this appliance should hold, as the control plane signed it."""

import enum
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from sluice.fill.v1 import fill_pb2
from sluice_appliance.object_key import InvalidObjectKey, parse_key
from sluice_appliance.store.layout import LayoutError, ObjectHeader, check_header
from sluice_runtime.signatures import SignatureRefused, Verifier

PURPOSE = "sluice.fill.v1.FillManifest"


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

    @property
    def size_bytes(self) -> int:
        return sum(wanted.size_bytes for wanted in self.objects)


@dataclass(frozen=True, slots=True)
class Manifest:
    """Titles in order of importance, the most wanted first."""

    revision: int
    titles: tuple[WantedTitle, ...]


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
        manifest = Manifest(message.revision, tuple(_title(title) for title in message.titles))
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
    return WantedTitle(
        title.title, title.version, tuple(_object(wanted) for wanted in title.objects)
    )


def _object(wanted: fill_pb2.FillObject) -> ObjectHeader:
    header = ObjectHeader(
        parse_key(wanted.key), wanted.size_bytes, wanted.sha256, wanted.content_type
    )
    check_header(header)
    return header


def _check_names(manifest: Manifest) -> None:
    seen: set[str] = set()
    for title in manifest.titles:
        for wanted in title.objects:
            if wanted.key in seen:
                raise ValueError(f"{wanted.key} is named twice")
            seen.add(wanted.key)
