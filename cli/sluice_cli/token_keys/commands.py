"""`sluice keys list|rotate`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice_cli.deployment import read_deployment
from sluice_cli.options import DEFAULT_STATE, Json, State, examples

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from sluice.tokens.v1 import tokens_pb2

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=examples("sluice keys list", "sluice keys rotate"),
)


@app.command("list", epilog=examples("sluice keys list", "sluice keys list --json"))
def list_(state: State = DEFAULT_STATE, json: Json = False) -> None:
    """List the keys that sign and check access tokens; private halves are never shown."""
    import asyncio

    from sluice_cli.token_keys import calls

    _print(asyncio.run(calls.token_keys(read_deployment(state))), json)


@app.command("rotate", epilog=examples("sluice keys rotate", "sluice keys rotate --revoke"))
def rotate(
    revoke: Annotated[
        bool,
        typer.Option("--revoke", help="End the tokens of all other keys as the new one begins."),
    ] = False,
    state: State = DEFAULT_STATE,
    json: Json = False,
) -> None:
    """Make a new key that signs within a minute, without waiting for its turn."""
    import asyncio

    from sluice_cli.token_keys import calls

    _print(asyncio.run(calls.rotate(read_deployment(state), revoke=revoke)), json)


def _print(told: "tokens_pb2.TokenKeySet", as_json: bool) -> None:
    from sluice.tokens.v1 import tokens_pb2
    from sluice_cli.printing import print_json, print_table

    policy = tokens_pb2.TokenPolicy.Name(told.policy).removeprefix("TOKEN_POLICY_").lower()
    keys = [_facts(key) for key in told.keys]
    if as_json:
        print_json(
            {"revision": told.revision, "policy": policy, "issuer": told.issuer, "keys": keys}
        )
        return
    print_table(
        ("key", "signs from", "checks until"),
        ((key["id"], key["sign_time"], key["expire_time"] or "-") for key in keys),
    )
    print(f"revision {told.revision}, tokens {policy}, issuer {told.issuer}")


def _facts(key: "tokens_pb2.TokenKey") -> dict[str, Any]:
    return {
        "id": key.key_id,
        "sign_time": _shown(key.sign_time),
        "expire_time": _shown(key.expire_time) if key.HasField("expire_time") else None,
    }


def _shown(time: "Timestamp") -> str:
    return time.ToDatetime().isoformat(timespec="seconds") + "Z"
