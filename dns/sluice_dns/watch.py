"""Maps from the control plane: each is verified, checked, and kept on disk, where workers find it."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

from sluice.steering.v1 import map_pb2, steering_pb2, steering_pb2_grpc
from sluice_dns import metrics
from sluice_dns.map_file import open_signed
from sluice_dns.metrics import Row
from sluice_dns.steering_map import MapRefused
from sluice_runtime import files, rpc
from sluice_runtime.logs import get_logger
from sluice_runtime.signatures import Verifier

log = get_logger(__name__)


class MapKeeper:
    """Keeps the newest good map in a file; the workers serve what the file holds."""

    def __init__(self, path: Path, verifier: Verifier, *, held_revision: int, row: Row) -> None:
        self.held_revision = held_revision
        self._path = path
        self._verifier = verifier
        self._row = row

    def receive(self, signed: map_pb2.SignedMap) -> None:
        """Takes a map that is newer and good; counts and logs any other."""
        content = signed.SerializeToString()
        try:
            view = open_signed(content, self._verifier)
        except MapRefused as error:
            self._row[metrics.RECEIVED_REFUSED] += 1
            log.error("map_received_refused", reason=str(error), held=self.held_revision)
            return
        if view.revision == self.held_revision:
            # Sent again after a broken stream.
            return
        if view.revision < self.held_revision:
            self._row[metrics.RECEIVED_OLDER] += 1
            log.warning("map_received_older", revision=view.revision, held=self.held_revision)
            return
        try:
            files.write_atomically(self._path, content)
        except OSError as error:
            self._row[metrics.RECEIVED_UNWRITABLE] += 1
            log.error("map_unwritable", path=str(self._path), reason=error.strerror)
            return
        self.held_revision = view.revision
        self._row[metrics.RECEIVED_WRITTEN] += 1


async def watch(
    target: str,
    tls: rpc.TlsFiles,
    keeper: MapKeeper,
    *,
    rng: random.Random,
    row: Row,
) -> None:
    """Follows WatchMap for ever; a control plane that is gone is asked again every second or so."""

    def on_break(reason: str) -> None:
        row[metrics.WATCH_BREAKS] += 1
        log.warning("watch_broken", control_plane=target, reason=reason, held=keeper.held_revision)

    async with rpc.open_channel(target, tls) as channel:
        stub = steering_pb2_grpc.SteeringServiceStub(channel)

        def open_stream(_: int) -> AsyncIterator[steering_pb2.WatchMapResponse]:
            # What is held, not what was seen: a map that was refused is asked for again.
            return stub.WatchMap(steering_pb2.WatchMapRequest(revision=keeper.held_revision))  # type: ignore[return-value]

        async for response in rpc.follow(
            open_stream,
            lambda _: keeper.held_revision,
            revision=keeper.held_revision,
            rng=rng,
            on_break=on_break,
        ):
            # Checking a map of 429,000 blocks takes 0.1 s; TCP answers meanwhile.
            await asyncio.to_thread(keeper.receive, response.map)
