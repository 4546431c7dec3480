"""What the token key commands ask of the control plane."""

from sluice.tokens.v1 import tokens_pb2, tokens_pb2_grpc
from sluice_cli.control_plane import RPC_TIMEOUT_S, as_operator
from sluice_cli.deployment import Deployment


async def token_keys(deployment: Deployment) -> tokens_pb2.TokenKeySet:
    """Raises ControlPlaneRefused."""
    async with as_operator(deployment) as channel:
        answer = await tokens_pb2_grpc.TokenKeyServiceStub(channel).ListTokenKeys(
            tokens_pb2.ListTokenKeysRequest(), timeout=RPC_TIMEOUT_S
        )
        return answer.keys


async def rotate(deployment: Deployment, *, revoke: bool) -> tokens_pb2.TokenKeySet:
    """Raises ControlPlaneRefused."""
    async with as_operator(deployment) as channel:
        answer = await tokens_pb2_grpc.TokenKeyServiceStub(channel).RotateTokenKeys(
            tokens_pb2.RotateTokenKeysRequest(revoke=revoke), timeout=RPC_TIMEOUT_S
        )
        return answer.keys
