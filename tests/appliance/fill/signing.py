"""A control plane's pen: manifests made and signed for tests."""

import hashlib
from collections.abc import Mapping, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sluice.fill.v1 import fill_pb2
from sluice_appliance.fill.manifest import PURPOSE
from sluice_appliance.object_key import parse_key
from sluice_appliance.store.layout import ObjectHeader
from sluice_runtime.signatures import Verifier, key_id, sign

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(32))
VERIFIER = Verifier([KEY.public_key()])


def message(
    revision: int, titles: Mapping[str, Sequence[bytes]], *, appliance: str = "appliances/a-1"
) -> fill_pb2.FillManifest:
    """Titles `{id: bodies}` of version v1; their objects are `{id}/v1/{number}.mp4`."""
    return fill_pb2.FillManifest(
        appliance=appliance,
        revision=revision,
        titles=[
            fill_pb2.FillTitle(
                title=f"titles/{name}",
                version="v1",
                objects=[
                    fill_pb2.FillObject(
                        key=f"{name}/v1/{number}.mp4",
                        size_bytes=len(body),
                        sha256=hashlib.sha256(body).digest(),
                        content_type="video/mp4",
                    )
                    for number, body in enumerate(bodies)
                ],
            )
            for name, bodies in titles.items()
        ],
    )


def signed(
    manifest: fill_pb2.FillManifest, *, key: Ed25519PrivateKey = KEY
) -> fill_pb2.SignedManifest:
    payload = manifest.SerializeToString()
    return fill_pb2.SignedManifest(
        payload=payload, signature=sign(key, PURPOSE, payload), key_id=key_id(key.public_key())
    )


def wanted_of(key: str, body: bytes) -> ObjectHeader:
    return ObjectHeader(parse_key(key), len(body), hashlib.sha256(body).digest(), "video/mp4")
