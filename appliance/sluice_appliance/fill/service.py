"""The control plane's FillService, as the fill speaks to it."""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import grpc.aio

from sluice.fill.v1 import fill_pb2, fill_pb2_grpc
from sluice_appliance.fill.progress import FillProgress
from sluice_appliance.fill.reporter import Faults, ReportUndelivered
from sluice_appliance.fill.source_book import SourcesUnknown
from sluice_appliance.fill.sources import TitleSources, fault_to_wire, source_from_wire
from sluice_appliance.object_key import ObjectKey
from sluice_appliance.store.disks import DiskState, DiskStatus, Tier
from sluice_runtime.rpc import follow

_CALL_TIMEOUT_S = 5.0
_DISK_NAME_CHARS_MAX = 128


@dataclass(frozen=True, slots=True)
class BoxReport:
    """What is told of the box beside its progress; bytes since the start."""

    disks: Sequence[DiskStatus] = ()
    filled_bytes: int = 0
    offloaded_bytes: int = 0


class FillService:
    """One appliance's own view of it. `appliance` is `appliances/{appliance}`."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        appliance: str,
        incarnation: str,
        box: Callable[[], BoxReport] = BoxReport,
    ) -> None:
        self._box = box
        self._stub = fill_pb2_grpc.FillServiceStub(channel)
        self._appliance = appliance
        self._incarnation = incarnation

    async def list_sources(self, title: str, version: str) -> TitleSources:
        """Raises SourcesUnknown."""
        request = fill_pb2.ListSourcesRequest(
            appliance=self._appliance, title=title, version=version
        )
        try:
            answer = await self._stub.ListSources(request, timeout=_CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise SourcesUnknown(f"ListSources: {_reason(error)}") from None
        return TitleSources(
            [source_from_wire(source) for source in answer.sources],
            # Whether there are as many digests as blocks the store sees; none are none.
            {
                ObjectKey(each.key): each.block_digests
                for each in answer.blocks
                if each.block_digests
            },
        )

    async def report(self, progress: FillProgress, faults: Faults) -> None:
        """Raises ReportUndelivered."""
        box = self._box()
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
            disks=[_disk_to_wire(disk) for disk in box.disks],
            filled_bytes_total=box.filled_bytes,
            offloaded_bytes_total=box.offloaded_bytes,
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


_TIERS = {Tier.SSD: fill_pb2.DISK_TIER_SSD, Tier.HDD: fill_pb2.DISK_TIER_HDD}
_STATES = {
    DiskState.IN_USE: fill_pb2.DISK_STATE_IN_USE,
    DiskState.READ_ONLY: fill_pb2.DISK_STATE_READ_ONLY,
    DiskState.FAILED: fill_pb2.DISK_STATE_FAILED,
}


def _disk_to_wire(disk: DiskStatus) -> fill_pb2.DiskReport:
    return fill_pb2.DiskReport(
        # A path may be longer than the contract lets a name be; its end tells disks apart.
        disk=disk.name[-_DISK_NAME_CHARS_MAX:],
        tier=_TIERS[disk.tier],
        state=_STATES[disk.state],
        reason=disk.reason,
        capacity_bytes=disk.capacity_bytes,
        stored_bytes=disk.stored_bytes,
    )


def _reason(error: grpc.aio.AioRpcError) -> str:
    return f"{error.code().name}: {error.details()}"
