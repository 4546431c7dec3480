"""The manifest in force, on disk as it was signed: what a start without the control plane fills by."""

import asyncio
from pathlib import Path

from google.protobuf.message import DecodeError

from sluice.fill.v1 import fill_pb2
from sluice_appliance.fill.manifest import Manifest, ManifestRefused, open_manifest
from sluice_appliance.fill.tally import FillTally
from sluice_runtime.files import write_atomically
from sluice_runtime.logs import get_logger
from sluice_runtime.signatures import Verifier

log = get_logger(__name__)


class ManifestInForce:
    """Takes manifests that are signed and newer; keeps the last one taken in a file."""

    def __init__(self, path: Path, *, verifier: Verifier, appliance: str, tally: FillTally) -> None:
        self._path = path
        self._verifier = verifier
        self._appliance = appliance
        self._tally = tally
        self.revision = 0

    async def load(self) -> Manifest | None:
        """The manifest of the last run; None if there is none that can be trusted."""
        try:
            content = await asyncio.to_thread(self._path.read_bytes)
            signed = fill_pb2.SignedManifest.FromString(content)
        except FileNotFoundError:
            return None
        except (OSError, DecodeError) as error:
            log.warning("manifest_unreadable", path=str(self._path), reason=str(error))
            return None
        return self._open(signed)

    async def take(self, signed: fill_pb2.SignedManifest) -> Manifest | None:
        """The manifest if it is in force now; None if it was refused or is the one held already."""
        held = self.revision
        manifest = self._open(signed)
        if manifest is None or manifest.revision == held:
            return None
        try:
            await asyncio.to_thread(write_atomically, self._path, signed.SerializeToString())
        except OSError as error:
            # It is in force all the same; only a restart without the control plane would miss it.
            self._tally.disk_failed()
            log.error("manifest_unsaved", path=str(self._path), reason=str(error))
        self._tally.manifest_taken()
        log.info("manifest_taken", revision=manifest.revision, titles=len(manifest.titles))
        return manifest

    def _open(self, signed: fill_pb2.SignedManifest) -> Manifest | None:
        try:
            manifest = open_manifest(
                signed,
                verifier=self._verifier,
                appliance=self._appliance,
                held_revision=self.revision,
            )
        except ManifestRefused as error:
            self._tally.manifest_refused(error.refusal)
            log.error("manifest_refused", reason=str(error))
            return None
        self.revision = manifest.revision
        return manifest
