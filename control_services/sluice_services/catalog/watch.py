"""Watches the control plane's registry of titles."""

from collections.abc import AsyncIterator, Callable

import grpc.aio

from sluice.content.v1 import content_pb2, content_pb2_grpc
from sluice_runtime.logs import get_logger
from sluice_services.catalog.titles import Catalog, read_catalog
from sluice_services.following.follower import Offer
from sluice_services.metrics import GatewayMetrics

log = get_logger(__name__)


def catalog_watch(channel: grpc.aio.Channel) -> Callable[[int], AsyncIterator[Offer]]:
    stub = content_pb2_grpc.ContentServiceStub(channel)

    async def open_watch(revision: int) -> AsyncIterator[Offer]:
        async for message in stub.WatchTitles(content_pb2.WatchTitlesRequest(revision=revision)):
            yield Offer(message.SerializeToString())

    return open_watch


def catalog_reader(metrics: GatewayMetrics) -> Callable[[bytes], Catalog]:
    """Reads a registry and says aloud which records it leaves out. Raises DecodeError."""

    def accept(encoded: bytes) -> Catalog:
        catalog = read_catalog(content_pb2.WatchTitlesResponse.FromString(encoded))
        for name, why in catalog.left_out:
            metrics.titles_unusable.inc()
            log.error("title_left_out", title=name, reason=why)
        return catalog

    return accept
