"""`sluice explain`: which answer a client gets, and why, as the control plane says it."""

import ipaddress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice_cli.deployment import read_deployment
from sluice_cli.errors import BadArgument
from sluice_cli.options import DEFAULT_STATE, Json, State, examples

if TYPE_CHECKING:
    from sluice.steering.v1 import steering_pb2

EPILOG = examples(
    "sluice explain 10.1.2.3",
    "sluice explain 2001:db8:a::7 --title big-buck-bunny --json",
)


def explain(
    client: Annotated[str, typer.Argument(metavar="IP", help="A client's IPv4 or IPv6 address.")],
    title: Annotated[
        str, typer.Option("--title", metavar="T", help="For this title's bucket.")
    ] = "",
    state: State = DEFAULT_STATE,
    json: Json = False,
) -> None:
    """Say where a client is sent and why: route, class, ranked sites and appliances."""
    import asyncio

    from sluice_cli.printing import print_json
    from sluice_cli.steering.calls import explain_client

    try:
        address = str(ipaddress.ip_address(client))
    except ValueError:
        raise BadArgument(f"{client!r} is not an IPv4 or IPv6 address") from None
    title_id = title.removeprefix("titles/")
    answer = asyncio.run(explain_client(read_deployment(state), address, title_id))
    facts = _facts(address, title_id, answer)
    if json:
        print_json(facts)
    else:
        _print(facts)


def _facts(
    client: str, title_id: str, answer: "steering_pb2.ExplainClientResponse"
) -> dict[str, Any]:
    return {
        "client": client,
        "title": f"titles/{title_id}" if title_id else None,
        "map_revision": answer.map_revision,
        "class_index": answer.class_index,
        "matching_prefix": answer.matching_prefix or None,
        "scope": answer.scope,
        "bucket": answer.bucket if answer.HasField("bucket") else None,
        "answer": list(answer.answer),
        "sites": [
            {
                "site": site.site,
                "reason": site.reason,
                "appliances": [
                    {"appliance": box.appliance, "eligible": box.eligible, "reason": box.reason}
                    for box in site.appliances
                ],
            }
            for site in answer.sites
        ],
        "reasons": list(answer.reasons),
    }


def _print(facts: dict[str, Any]) -> None:
    from sluice_cli.printing import print_facts

    default = " (the default class)" if facts["class_index"] == 0 else ""
    print_facts(
        (
            ("client", facts["client"]),
            ("title", facts["title"] or "-"),
            ("bucket", "-" if facts["bucket"] is None else str(facts["bucket"])),
            ("route", facts["matching_prefix"] or "none"),
            ("class", f"{facts['class_index']}{default}"),
            ("scope", f"/{facts['scope']}"),
            ("map", f"revision {facts['map_revision']}"),
            ("answer", ", ".join(facts["answer"]) or "nobody"),
        )
    )
    for rank, site in enumerate(facts["sites"], start=1):
        print(f"{rank}. {site['site']}: {site['reason']}")
        for box in site["appliances"]:
            print(f"   {'+' if box['eligible'] else '-'} {box['appliance']}: {box['reason']}")
    print("why:")
    for reason in facts["reasons"]:
        print(f"  {reason}")
