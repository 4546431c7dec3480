"""The keys of access tokens over gRPC: who sees which half, how they change, what outlives a restart."""

import asyncio
import base64
import time
from pathlib import Path

import cbor2
import grpc
from control_plane.rig import Rig, control_plane, eventually, first, refused
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
)

from sluice.tokens.v1 import tokens_pb2, tokens_pb2_grpc
from sluice_control_plane.identity.roles import Role
from sluice_control_plane.token_keys.ring import PURPOSE
from sluice_control_plane.token_keys.rotation import CHECKS_ON_FOR_S, HEARD_WITHIN_S


def stub(rig: Rig, role: Role, name: str = "") -> "tokens_pb2_grpc.TokenKeyServiceAsyncStub":
    return tokens_pb2_grpc.TokenKeyServiceStub(rig.channel(role, name))


async def watched(rig: Rig, revision: int = 0) -> tokens_pb2.TokenKeySet:
    """The key set as an appliance hears it, its signature checked."""
    call = stub(rig, Role.APPLIANCE, "a-1").WatchTokenKeys(
        tokens_pb2.WatchTokenKeysRequest(revision=revision)
    )
    signed = (await first(call)).keys
    rig.verifier.verify(PURPOSE, signed.payload, signature=signed.signature, by=signed.key_id)
    return tokens_pb2.TokenKeySet.FromString(signed.payload)


async def signing(rig: Rig) -> tokens_pb2.WatchSigningKeysResponse:
    call = stub(rig, Role.SERVICE).WatchSigningKeys(tokens_pb2.WatchSigningKeysRequest())
    response: tokens_pb2.WatchSigningKeysResponse = await first(call)
    return response


def test_what_playback_signs_with_appliances_check_with_and_hold_no_private_half(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with control_plane(tmp_path, tokens="required", zone="v.example.net") as rig:
            told, private = await watched(rig), await signing(rig)
            (key,), (pair,) = told.keys, private.keys
            assert (told.issuer, told.revision) == (private.issuer, private.revision)
            assert (told.issuer, told.revision) == ("v.example.net", 1)
            assert told.policy == private.policy == tokens_pb2.TOKEN_POLICY_REQUIRED
            assert key.key_id == pair.key_id
            public = load_der_private_key(pair.private_key, None).public_key()
            assert key.public_key == public.public_bytes(
                Encoding.DER, PublicFormat.SubjectPublicKeyInfo
            )
            assert not key.HasField("expire_time")

    asyncio.run(story())


def test_nobody_but_who_signs_sees_a_private_key(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            for role in set(Role) - {Role.SERVICE}:
                async with refused(grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED"):
                    await (
                        stub(rig, role)
                        .WatchSigningKeys(tokens_pb2.WatchSigningKeysRequest())
                        .read()
                    )
            async with refused(grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED"):
                await stub(rig, Role.SERVICE).RotateTokenKeys(tokens_pb2.RotateTokenKeysRequest())

    asyncio.run(story())


def test_a_rotated_key_is_announced_and_the_old_one_checks_on(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            before = await watched(rig)
            answer = await stub(rig, Role.OPERATOR).RotateTokenKeys(
                tokens_pb2.RotateTokenKeysRequest()
            )
            after = await watched(rig, before.revision)
            assert answer.keys == after
            assert after.revision == before.revision + 1
            old, new = after.keys
            assert old.key_id == before.keys[0].key_id
            waited_s = new.sign_time.ToMicroseconds() / 1e6 - time.time()
            assert 0 < waited_s <= HEARD_WITHIN_S
            overlap_us = old.expire_time.ToMicroseconds() - new.sign_time.ToMicroseconds()
            assert overlap_us == CHECKS_ON_FOR_S * 1_000_000
            assert [key.key_id for key in (await signing(rig)).keys] == [old.key_id, new.key_id]

    asyncio.run(story())


def test_a_revoked_key_ends_as_the_new_one_begins(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            answer = await stub(rig, Role.OPERATOR).RotateTokenKeys(
                tokens_pb2.RotateTokenKeysRequest(revoke=True)
            )
            old, new = answer.keys.keys
            assert old.expire_time == new.sign_time

    asyncio.run(story())


def test_keys_and_their_revision_outlive_a_restart_and_a_new_policy_is_a_new_revision(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            first_run = await watched(rig)
        async with control_plane(tmp_path) as rig:
            assert await watched(rig) == first_run
        async with control_plane(tmp_path, tokens="signed") as rig:
            changed = await watched(rig)
            assert changed.revision == first_run.revision + 1
            assert changed.keys == first_run.keys
            listed = await stub(rig, Role.OPERATOR).ListTokenKeys(tokens_pb2.ListTokenKeysRequest())
            assert listed.keys == changed

    asyncio.run(story())


def test_an_appliance_is_given_a_token_for_the_title_it_fetches_from_another(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with control_plane(tmp_path, tokens="required", origin_url="http://o/") as rig:
            boxes = await rig.found_fleet()
            await rig.create_title()
            await rig.known("film")
            await rig.all_up(boxes)
            await boxes["a-1"].report("film/v1")

            async def named() -> bool:
                return len(await boxes["a-2"].sources("film")) == 2

            await eventually(named)
            (_, _, peer), (_, _, origin) = await boxes["a-2"].sources("film")
            assert origin == "http://o/"
            base, _, token = peer.rstrip("/").partition(";CAT=")
            assert base == "http://127.0.10.1:8081/"
            message = cbor2.loads(base64.urlsafe_b64decode(token + "=="))
            _, unprotected, payload, _ = message.value.value
            claims = cbor2.loads(payload)
            assert claims[312] == {3: {1: "/film/v1/"}}
            assert claims[2] == "appliances/a-2"
            assert 72 < (claims[4] - time.time()) / 3600 < 97
            assert unprotected[4].decode() == (await watched(rig)).keys[0].key_id

    asyncio.run(story())
