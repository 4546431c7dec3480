"""What is measured of a file, and that the registry takes it."""

import hashlib
import random
from pathlib import Path

import pytest
from blake3 import blake3

from sluice.content.v1 import content_pb2
from sluice_control_plane.content.titles import check_title
from sluice_encoder.integrity import BLOCK_BYTES, measure_file
from sluice_encoder.register import content_type


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES - 1])
def test_every_block_has_a_digest_of_its_own_bytes_and_the_registry_takes_them(
    tmp_path: Path, size: int
) -> None:
    body = random.Random(size).randbytes(size)
    (tmp_path / "master.m3u8").write_bytes(body)
    measured = measure_file(tmp_path / "master.m3u8")
    assert (measured.size_bytes, measured.sha256) == (size, hashlib.sha256(body).hexdigest())
    blocks = [body[at : at + BLOCK_BYTES] for at in range(0, size, BLOCK_BYTES)]
    digests = [measured.block_digests[at : at + 16] for at in range(0, 16 * len(blocks), 16)]
    assert digests == [blake3(block).digest()[:16] for block in blocks]
    assert len(measured.block_digests) == 16 * len(blocks)
    key = "film/v1/master.m3u8"
    check_title(
        "film",
        content_pb2.Title(
            version="v1",
            hls_key=key,
            objects=[
                content_pb2.MediaObject(
                    key=key,
                    size_bytes=measured.size_bytes,
                    sha256=bytes.fromhex(measured.sha256),
                    content_type=content_type(measured.name),
                    block_digests=measured.block_digests,
                )
            ],
        ),
    )
