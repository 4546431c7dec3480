"""What `sluice explain` asks of the control plane."""

from sluice.steering.v1 import steering_pb2, steering_pb2_grpc
from sluice_cli.control_plane import RPC_TIMEOUT_S, as_operator
from sluice_cli.deployment import Deployment


async def explain_client(
    deployment: Deployment, client_address: str, title_id: str
) -> steering_pb2.ExplainClientResponse:
    """Raises ControlPlaneRefused, also for a title that there is not."""
    request = steering_pb2.ExplainClientRequest(client_address=client_address)
    if title_id:
        request.title = f"titles/{title_id}"
    async with as_operator(deployment) as channel:
        return await steering_pb2_grpc.SteeringServiceStub(channel).ExplainClient(
            request, timeout=RPC_TIMEOUT_S
        )
