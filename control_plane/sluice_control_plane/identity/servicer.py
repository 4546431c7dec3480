"""EnrolmentService: a one-time token and a signing request for a client certificate."""

from collections.abc import Callable
from typing import Any

from sluice.fleet.v1 import fleet_pb2, fleet_pb2_grpc
from sluice_control_plane.database import Database
from sluice_control_plane.fleet import storage
from sluice_control_plane.identity.authority import fingerprint_of, key_of_request
from sluice_control_plane.identity.roles import Role
from sluice_control_plane.identity.state_folder import StateFolder
from sluice_control_plane.identity.tokens import digest_of, redeem


class EnrolmentServicer(fleet_pb2_grpc.EnrolmentServiceServicer):
    """`on_enrolled` hears that an appliance got its certificate."""

    def __init__(
        self,
        database: Database,
        folder: StateFolder,
        *,
        clock: Callable[[], float],
        on_enrolled: Callable[[], None],
    ) -> None:
        self._database = database
        self._folder = folder
        self._clock = clock
        self._on_enrolled = on_enrolled

    async def Enrol(self, request: fleet_pb2.EnrolRequest, context: Any) -> fleet_pb2.EnrolResponse:
        digest, now = digest_of(request.token), self._clock()
        async with self._database.write() as connection:
            key = key_of_request(request.certificate_signing_request)
            used_by = fingerprint_of(key)
            appliance_id = redeem(await storage.read_token(connection, digest), used_by, now)
            authority = self._folder.authority
            certificate = authority.sign_client(key, Role.APPLIANCE, appliance_id, now=now)
            await storage.use_token(connection, digest, used_by)
            await storage.set_enrolled(connection, appliance_id, now=now)
        self._on_enrolled()
        return fleet_pb2.EnrolResponse(
            appliance=f"appliances/{appliance_id}",
            certificate=certificate,
            certificate_authority=authority.certificate,
            verification_keys=self._folder.verification_keys,
        )
