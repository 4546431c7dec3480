"""The control plane's FillService, as the fill speaks to it."""

import random
from collections.abc import AsyncIterator, Callable, Sequence

import grpc.aio

from sluice.fill.v1 import fill_pb2, fill_pb2_grpc
from sluice_appliance.fill.progress import FillProgress
from sluice_appliance.fill.reporter import Faults, ReportUndelivered
from sluice_appliance.fill.sources import Source, fault_to_wire, source_from_wire
from sluice_appliance.fill.worker import SourcesUnknown
from sluice_runtime.rpc import follow

_CALL_TIMEOUT_S = 5.0


class FillService:
    """One appliance's own view of it. `appliance` is `appliances/{appliance}`."""

    def __init__(self, channel: grpc.aio.Channel, *, appliance: str, incarnation: str) -> None:
        self._stub = fill_pb2_grpc.FillServiceStub(channel)
        self._appliance = appliance
        self._incarnation = incarnation

    async def list_sources(self, title: str, version: str) -> Sequence[Source]:
        """Best first. Raises SourcesUnknown."""
        request = fill_pb2.ListSourcesRequest(
            appliance=self._appliance, title=title, version=version
        )
        try:
            answer = await self._stub.ListSources(request, timeout=_CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise SourcesUnknown(f"ListSources: {_reason(error)}") from None
        return [source_from_wire(source) for source in answer.sources]

    async def report(self, progress: FillProgress, faults: Faults) -> None:
        """Raises ReportUndelivered."""
        request = fill_pb2.ReportFillRequest(
            appliance=self._appliance,
            incarnation=self._incarnation,
            manifest_revision=progress.manifest_revision,
            complete_titles=progress.complete_titles,
            held_objects=progress.held_objects,
            wanted_objects=progress.wanted_objects,
            held_bytes=progress.held_bytes,
            wanted_bytes=progress.wanted_bytes,
            source_faults=[fault_to_wire(*pair, count) for pair, count in faults.items()],
        )
        try:
            await self._stub.ReportFill(request, timeout=_CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise ReportUndelivered(f"ReportFill: {_reason(error)}") from None

    async def manifests(
        self,
        held_revision: Callable[[], int],
        *,
        rng: random.Random,
        on_break: Callable[[str], None],
    ) -> AsyncIterator[fill_pb2.SignedManifest]:
        """Every manifest newer than the one that is held, for ever, whatever happens to streams.

        A stream resumes from what was taken, not from what was sent: a manifest that was refused
        moves nothing.
        """

        def open_stream(_: int) -> AsyncIterator[fill_pb2.WatchManifestResponse]:
            request = fill_pb2.WatchManifestRequest(
                appliance=self._appliance, revision=held_revision()
            )
            call: AsyncIterator[fill_pb2.WatchManifestResponse] = aiter(
                self._stub.WatchManifest(request)
            )
            return call

        async for message in follow(
            open_stream, lambda _: held_revision(), revision=0, rng=rng, on_break=on_break
        ):
            yield message.manifest


def _reason(error: grpc.aio.AioRpcError) -> str:
    return f"{error.code().name}: {error.details()}"
