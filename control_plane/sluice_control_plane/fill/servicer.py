"""FillService: translate, delegate, answer."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any

from sluice.content.v1 import content_pb2
from sluice.fill.v1 import fill_pb2, fill_pb2_grpc
from sluice_control_plane.content.object_index import ObjectIndex, version_in
from sluice_control_plane.content.storage import read_block_digests
from sluice_control_plane.content.titles import version_name
from sluice_control_plane.database import Database
from sluice_control_plane.errors import InvalidRequest, NotFound, NotReady
from sluice_control_plane.fill.manifests import fill_object
from sluice_control_plane.fill.reports import faults_of, report_of
from sluice_control_plane.fill.returns import FillReturns, Returns
from sluice_control_plane.fill.sources import Asker, Holder, leader, rank_sources
from sluice_control_plane.fleet.appliances import Appliance
from sluice_control_plane.fleet.disks import Disk, disks_of, failed_anew, unfilled
from sluice_control_plane.fleet.monitor import Belief, FleetMonitor
from sluice_control_plane.fleet.storage import keep_disks, keep_report, read_appliance
from sluice_control_plane.identity.gate import caller
from sluice_control_plane.metrics import FAULT_KINDS, Metrics
from sluice_control_plane.placement.rendezvous import Member
from sluice_control_plane.publishing import Publisher
from sluice_control_plane.reconciler import Reconciler
from sluice_control_plane.resource_names import id_in, shown
from sluice_control_plane.token_keys.fill_tokens import Signer, with_token
from sluice_control_plane.truth import Part
from sluice_runtime.logs import get_logger

log = get_logger(__name__)


class FillServicer(fill_pb2_grpc.FillServiceServicer):
    def __init__(
        self,
        database: Database,
        monitor: FleetMonitor,
        publisher: Publisher,
        reconciler: Reconciler,
        metrics: Metrics,
        returns: FillReturns,
        *,
        origin_url: str,
        fill_signer: Callable[[], Signer | None],
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._monitor = monitor
        self._publisher = publisher
        self._reconciler = reconciler
        self._metrics = metrics
        self._returns = returns
        self._origin_url = origin_url
        # Who signs tokens for sources; None where nobody asks for any.
        self._fill_signer = fill_signer
        self._clock = clock
        self._objects = ObjectIndex()

    async def WatchManifest(
        self, request: fill_pb2.WatchManifestRequest, context: Any
    ) -> AsyncIterator[fill_pb2.WatchManifestResponse]:
        appliance_id = self._speaker(request.appliance, context)
        if request.revision < 0:
            raise InvalidRequest(f"revision is {request.revision}, expected 0 or more")
        board = self._publisher.manifest(appliance_id)
        async with aclosing(board.watch(request.revision)) as watch:
            async for signed in watch:
                yield fill_pb2.WatchManifestResponse(manifest=signed)

    async def ListSources(
        self, request: fill_pb2.ListSourcesRequest, context: Any
    ) -> fill_pb2.ListSourcesResponse:
        appliance_id = self._speaker(request.appliance, context)
        title_id = id_in(request.title, "titles", "title")
        title = self._reconciler.truth.catalog.get(title_id)
        if title is None or title.version != request.version:
            raise NotFound(f"titles/{title_id} has no version {shown(request.version)}")
        async with self._database.read() as connection:
            digests = await read_block_digests(connection, title_id)
        return fill_pb2.ListSourcesResponse(
            sources=self._sources(appliance_id, title),
            blocks=[
                fill_pb2.ObjectBlocks(key=title.objects[position].key, block_digests=each)
                for position, each in digests.items()
            ],
        )

    async def LookUpObject(
        self, request: fill_pb2.LookUpObjectRequest, context: Any
    ) -> fill_pb2.LookUpObjectResponse:
        appliance_id = self._speaker(request.appliance, context)
        title = self._reconciler.truth.versions.get(version_in(request.key))
        position = None if title is None else self._objects.position(title, request.key)
        if title is None or position is None:
            raise NotFound(f"no title has an object {shown(request.key)}")
        title_id = title.name.removeprefix("titles/")
        async with self._database.read() as connection:
            digests = await read_block_digests(connection, title_id, position=position)
        return fill_pb2.LookUpObjectResponse(
            title=title.name,
            version=title.version,
            object=fill_object(title.objects[position]),
            block_digests=digests.get(position, b""),
            sources=self._sources(appliance_id, title),
        )

    def _sources(
        self, appliance_id: str, title: content_pb2.Title
    ) -> Sequence[fill_pb2.FillSource]:
        """Where the title may be fetched by an appliance, best first."""
        asker = self._reconciler.truth.fleet.get(appliance_id)
        if asker is None:
            raise NotReady(f"appliances/{appliance_id} is not placed yet; try later")
        title_id = title.name.removeprefix("titles/")
        fetchers = self._reconciler.fetchers(title_id, asker.site_id)
        leading = leader(title_id, [Member(each.appliance_id, each.weight) for each in fetchers])
        signer, now = self._fill_signer(), self._clock()
        holders = [
            Holder(
                each.appliance_id,
                each.site_id,
                each.partner_id,
                url
                if signer is None
                else with_token(url, signer, version_name(title), asker=appliance_id, now=now),
            )
            for each in self._reconciler.holders(title_id)
            if (url := self._monitor.belief(each.appliance_id).address.base_url())
        ]
        return rank_sources(
            Asker(appliance_id, asker.site_id, asker.partner_id),
            title.bucket,
            holders,
            self._origin_url,
            # Where nobody else can, whoever asks goes at once.
            leads=leading in (None, appliance_id),
            size_bytes=sum(item.size_bytes for item in title.objects),
        )

    async def ReportFill(
        self, request: fill_pb2.ReportFillRequest, context: Any
    ) -> fill_pb2.ReportFillResponse:
        appliance_id = self._speaker(request.appliance, context)
        report, faults, disks = report_of(request), faults_of(request), disks_of(request.disks)
        told = Returns(request.filled_bytes_total, request.offloaded_bytes_total)
        belief = self._monitor.belief(appliance_id)
        async with self._database.write() as connection:
            before = await read_appliance(connection, appliance_id)
            if before.report != report:
                await keep_report(connection, appliance_id, report)
            if unfilled(belief.disks) != unfilled(disks):
                await keep_disks(connection, appliance_id, disks)
        for kind, count in faults.items():
            self._metrics.source_faults.labels(FAULT_KINDS[kind]).inc(count)
        self._take_disks(appliance_id, belief, disks)
        self._take_returns(before, request.incarnation, told)
        if before.report != report:
            self._reconciler.touch(Part.FLEET)
        return fill_pb2.ReportFillResponse()

    def _take_disks(self, appliance_id: str, belief: Belief, disks: tuple[Disk, ...]) -> None:
        for disk in failed_anew(belief.disks, disks):
            self._metrics.disk_failures.inc()
            log.error("disk_failed", appliance=appliance_id, disk=disk.name, reason=disk.reason)
        belief.disks = disks
        self._metrics.failed_disks.set(self._monitor.failed_disks())

    def _take_returns(self, appliance: Appliance, incarnation: str, told: Returns) -> None:
        box, site = appliance.appliance_id, appliance.site_id
        fresh = self._returns.hear(box, incarnation, told)
        self._metrics.filled_bytes.labels(site, box).inc(fresh.filled)
        self._metrics.offloaded_bytes.labels(site, box).inc(fresh.offloaded)
        self._metrics.fill_roi.labels(site, box).set(self._returns.of([box]).ratio)
        there = [each for each, a in self._reconciler.truth.fleet.items() if a.site_id == site]
        self._metrics.site_fill_roi.labels(site).set(self._returns.of(there).ratio)

    def _speaker(self, name: str, context: Any) -> str:
        """The appliance that is spoken for. Raises NotAllowed or NotFound."""
        appliance_id = id_in(name, "appliances", "appliance")
        caller(context).must_speak_for(appliance_id)
        self._monitor.belief(appliance_id)
        return appliance_id
