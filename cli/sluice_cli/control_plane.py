"""Calls to the control plane as an operator; every failure becomes one line that says what to do."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio

from sluice_cli.deployment import Deployment
from sluice_cli.errors import BadArgument, ControlPlaneRefused
from sluice_runtime import rpc

RPC_TIMEOUT_S = 10.0
# The largest page that the services give.
PAGE_SIZE = 1000

_OUR_MISTAKE = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ABORTED,
}


@contextlib.asynccontextmanager
async def as_operator(deployment: Deployment) -> AsyncIterator[grpc.aio.Channel]:
    """A channel with the operator's certificate; calls that fail inside raise ControlPlaneRefused."""
    target, identity = deployment.control_plane, deployment.identity_operator
    try:
        channel = rpc.open_channel(target, rpc.TlsFiles.in_folder(Path(identity)))
    except OSError as error:
        raise BadArgument(
            f"the operator's identity {error.filename}: {error.strerror}; `sluice up` makes it"
        ) from None
    async with channel:
        try:
            yield channel
        except grpc.aio.AioRpcError as error:
            raise ControlPlaneRefused(
                what_to_do(error.code(), error.details() or "", target=target, identity=identity)
            ) from None


def what_to_do(code: grpc.StatusCode, details: str, *, target: str, identity: str) -> str:
    """One line for a failed call: what was said, and the next step where there is one."""
    # gRPC's own texts may run over several lines.
    said = " ".join(details.split()) or code.name
    if code is grpc.StatusCode.UNAVAILABLE:
        return f"the control plane at {target} does not answer; is `sluice up` running?"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"the control plane at {target} did not answer in {RPC_TIMEOUT_S:.0f} s; see its log"
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return f"the control plane at {target} refuses the identity in {identity}: {said}"
    if code in _OUR_MISTAKE:
        return said
    return f"the control plane at {target} failed with {code.name}: {said}; see its log"
