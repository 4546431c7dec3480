"""`sluice keys`: what an operator sees of the keys of access tokens, and how they are changed."""

import asyncio
import json
from pathlib import Path

from cli.scripted import desk


def test_the_keys_are_shown_with_their_times_and_what_tokens_are_for(tmp_path: Path) -> None:
    async def scene() -> None:
        async with desk(tmp_path) as made:
            done = await made.sluice("keys", "list")
            assert done.status == 0, done.errors
            assert "key-1" in done.output
            assert "2025-06-15T15:06:40Z" in done.output
            assert "revision 1, tokens required, issuer v.sluice.test" in done.output

    asyncio.run(scene())


def test_a_rotation_says_when_the_new_key_signs_and_until_when_the_old_one_checks(
    tmp_path: Path,
) -> None:
    async def scene() -> None:
        async with desk(tmp_path) as made:
            done = await made.sluice("keys", "rotate", "--json")
            told = json.loads(done.output)
            assert [key["id"] for key in told["keys"]] == ["key-1", "key-2"]
            assert told["keys"][0]["expire_time"] == "2025-06-26T01:06:40Z"
            assert told["keys"][1]["expire_time"] is None
            assert not made.token_keys.revoked

    asyncio.run(scene())


def test_a_key_in_wrong_hands_is_revoked_only_when_that_is_said(tmp_path: Path) -> None:
    async def scene() -> None:
        async with desk(tmp_path) as made:
            assert (await made.sluice("keys", "rotate", "--revoke")).status == 0
            assert made.token_keys.revoked

    asyncio.run(scene())
