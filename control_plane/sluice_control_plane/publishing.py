"""What is published, each with its revision: the registry of titles, the fill manifests, the map.

A thing is published when it says something new: it is kept in the database, signed, and handed to
those who watch it, in this order, so that a revision once seen never means two things.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sluice.content.v1 import content_pb2
from sluice.fill.v1 import fill_pb2
from sluice.steering.v1 import map_pb2
from sluice_control_plane.database import Database
from sluice_control_plane.documents import (
    MAP,
    NEVER,
    TITLES,
    Document,
    keep_document,
    manifest_of,
    read_documents,
)
from sluice_control_plane.metrics import Metrics
from sluice_control_plane.steering.compiler import same_answers
from sluice_control_plane.watching import Published
from sluice_runtime.signatures import key_id, sign

# An appliance watches once; a connection that died unseen is closed within seconds.
MANIFEST_WATCHERS_MAX = 16


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs what is published."""

    key: Ed25519PrivateKey

    def manifest(self, payload: bytes) -> fill_pb2.SignedManifest:
        purpose = fill_pb2.FillManifest.DESCRIPTOR.full_name
        return fill_pb2.SignedManifest(
            payload=payload,
            signature=sign(self.key, purpose, payload),
            key_id=key_id(self.key.public_key()),
        )

    def map(self, payload: bytes) -> map_pb2.SignedMap:
        purpose = map_pb2.SteeringMap.DESCRIPTOR.full_name
        return map_pb2.SignedMap(
            payload=payload,
            signature=sign(self.key, purpose, payload),
            key_id=key_id(self.key.public_key()),
        )


class Publisher:
    """Everything published, and the three boards that streams watch."""

    def __init__(self, database: Database, signer: Signer, metrics: Metrics) -> None:
        self._database = database
        self._signer = signer
        self._metrics = metrics
        self.map: Published[map_pb2.SignedMap] = Published(on_watchers=self._count("map"))
        self.titles: Published[content_pb2.WatchTitlesResponse] = Published(
            on_watchers=self._count("titles")
        )
        self._manifests: dict[str, Published[fill_pb2.SignedManifest]] = {}
        self.latest_map = map_pb2.SteeringMap()
        self._latest_manifests: dict[str, fill_pb2.FillManifest] = {}

    async def restore(self) -> None:
        """Takes up what an earlier run published."""
        async with self._database.read() as connection:
            kept = await read_documents(connection)
        if (document := kept.get(MAP, NEVER)) is not NEVER:
            self._show_map(document)
        if (document := kept.get(TITLES, NEVER)) is not NEVER:
            self._show_titles(document)
        for name, document in kept.items():
            head, _, appliance_id = name.partition("/")
            if head == manifest_of("").rstrip("/"):
                await self._show_manifest(appliance_id, document)

    def manifest(self, appliance_id: str) -> Published[fill_pb2.SignedManifest]:
        """The board of one appliance that is there."""
        if appliance_id not in self._manifests:
            self._manifests[appliance_id] = Published(
                watchers_max=MANIFEST_WATCHERS_MAX, on_watchers=self._count("manifest")
            )
        return self._manifests[appliance_id]

    def told(self) -> Mapping[str, Sequence[fill_pb2.FillTitle]]:
        """What the latest manifest of each appliance says."""
        return {each: manifest.titles for each, manifest in self._latest_manifests.items()}

    async def publish_titles(self, titles: Iterable[content_pb2.Title]) -> None:
        registry = content_pb2.WatchTitlesResponse(revision=self.titles.revision)
        registry.titles.extend(_without_objects(title) for title in titles)
        if self.titles.value is not None and registry == self.titles.value:
            return
        registry.revision += 1
        document = Document(registry.revision, registry.SerializeToString())
        await self._keep({TITLES: document})
        self._show_titles(document)

    async def publish_manifests(
        self,
        wanted: Mapping[str, Sequence[fill_pb2.FillTitle]],
        policies: Mapping[str, fill_pb2.FillPolicy],
        *,
        now: float,
    ) -> None:
        """Those that say something new; all are kept in one transaction. `policies` is by appliance."""
        newer: dict[str, Document] = {}
        for appliance_id, titles in wanted.items():
            before = self._latest_manifests.get(appliance_id)
            policy = policies.get(appliance_id)
            # One at a time, so that others have their turn: a manifest may have megabytes.
            document = await asyncio.to_thread(
                _newer_manifest, appliance_id, before, titles, policy, now
            )
            if document is not None:
                newer[appliance_id] = document
        await self._keep({manifest_of(each): document for each, document in newer.items()})
        for appliance_id, document in newer.items():
            await self._show_manifest(appliance_id, document)
            self._metrics.manifests_published.inc()

    async def publish_map(self, compiled: map_pb2.SteeringMap) -> None:
        """`compiled` has the next revision. One with the same answers is not published."""
        if self.map.value is not None and same_answers(compiled, self.latest_map):
            return
        document = Document(compiled.revision, compiled.SerializeToString(deterministic=True))
        await self._keep({MAP: document})
        self._show_map(document)
        self._metrics.maps_published.inc()

    def close(self) -> None:
        """Ends every watch."""
        self.map.close()
        self.titles.close()
        for board in self._manifests.values():
            board.close()

    async def _keep(self, documents: Mapping[str, Document]) -> None:
        if not documents:
            return
        async with self._database.write() as connection:
            for name, document in documents.items():
                await keep_document(connection, name, document)

    def _show_map(self, document: Document) -> None:
        self.latest_map = map_pb2.SteeringMap.FromString(document.payload)
        self.map.publish(document.revision, self._signer.map(document.payload))
        self._metrics.map_revision.set(document.revision)

    def _show_titles(self, document: Document) -> None:
        registry = content_pb2.WatchTitlesResponse.FromString(document.payload)
        self.titles.publish(document.revision, registry)

    async def _show_manifest(self, appliance_id: str, document: Document) -> None:
        payload = document.payload
        latest = await asyncio.to_thread(fill_pb2.FillManifest.FromString, payload)
        signed = await asyncio.to_thread(self._signer.manifest, payload)
        self._latest_manifests[appliance_id] = latest
        self.manifest(appliance_id).publish(document.revision, signed)

    def _count(self, stream: str) -> Callable[[int], None]:
        return self._metrics.watchers.labels(stream).inc


def _newer_manifest(
    appliance_id: str,
    before: fill_pb2.FillManifest | None,
    titles: Sequence[fill_pb2.FillTitle],
    policy: fill_pb2.FillPolicy | None,
    now: float,
) -> Document | None:
    """None where it says nothing new."""
    if before is not None and (list(before.titles), before.policy) == (
        titles,
        policy or fill_pb2.FillPolicy(),
    ):
        return None
    manifest = fill_pb2.FillManifest(
        appliance=f"appliances/{appliance_id}",
        revision=(before.revision if before else 0) + 1,
        titles=titles,
        policy=policy,
    )
    manifest.create_time.FromMicroseconds(int(now * 1e6))
    return Document(manifest.revision, manifest.SerializeToString())


def _without_objects(title: content_pb2.Title) -> content_pb2.Title:
    shown = content_pb2.Title()
    shown.CopyFrom(title)
    shown.ClearField("objects")
    shown.objects.extend(item for item in title.objects if item.key == title.integrity_key)
    return shown
