"""SteeringService: translate, delegate, answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from sluice.steering.v1 import steering_pb2, steering_pb2_grpc
from sluice_control_plane.errors import InvalidRequest, NotFound, NotReady
from sluice_control_plane.publishing import Publisher
from sluice_control_plane.reconciler import Reconciler
from sluice_control_plane.resource_names import id_in, shown
from sluice_control_plane.steering.explain import AddressRefused, explain

_ADDRESS_CHARACTERS_MAX = 64


class SteeringServicer(steering_pb2_grpc.SteeringServiceServicer):
    def __init__(self, publisher: Publisher, reconciler: Reconciler) -> None:
        self._publisher = publisher
        self._reconciler = reconciler

    async def WatchMap(
        self, request: steering_pb2.WatchMapRequest, context: Any
    ) -> AsyncIterator[steering_pb2.WatchMapResponse]:
        if request.revision < 0:
            raise InvalidRequest(f"revision is {request.revision}, expected 0 or more")
        async with aclosing(self._publisher.map.watch(request.revision)) as watch:
            async for signed in watch:
                yield steering_pb2.WatchMapResponse(map=signed)

    async def ExplainClient(
        self, request: steering_pb2.ExplainClientRequest, context: Any
    ) -> steering_pb2.ExplainClientResponse:
        address = request.client_address
        title_id = id_in(request.title, "titles", "title") if request.title else None
        if title_id is not None and title_id not in self._reconciler.truth.catalog:
            raise NotFound(f"titles/{title_id} is not there")
        if len(address) > _ADDRESS_CHARACTERS_MAX:
            raise InvalidRequest(f"client_address is {shown(address)}, expected an address")
        steering, latest = self._reconciler.steering, self._publisher.latest_map
        if steering is None:
            raise NotReady("no map is compiled yet")
        try:
            return await asyncio.to_thread(explain, steering, latest, address, title_id)
        except AddressRefused as error:
            raise InvalidRequest(str(error)) from None
