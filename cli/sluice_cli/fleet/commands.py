"""`sluice fleet list|status|show|drain|undrain|fill-policy`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice_cli.deployment import read_deployment
from sluice_cli.errors import BadArgument
from sluice_cli.fleet import policy_commands
from sluice_cli.options import DEFAULT_STATE, Json, State, examples

if TYPE_CHECKING:
    from sluice.fleet.v1 import fleet_pb2

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=examples("sluice fleet list", "sluice fleet drain a-1"),
)

app.add_typer(policy_commands.app, name="fill-policy")

ApplianceId = Annotated[str, typer.Argument(metavar="ID", help="An appliance's id, such as a-1.")]


@app.command("list", epilog=examples("sluice fleet list", "sluice fleet list --site site-a --json"))
def list_(
    site: Annotated[
        str, typer.Option("--site", metavar="ID", help="Only the appliances of this site.")
    ] = "",
    state: State = DEFAULT_STATE,
    json: Json = False,
) -> None:
    """List the appliances with health and fill."""
    import asyncio

    from sluice_cli.fleet import calls
    from sluice_cli.printing import print_json, print_table

    boxes = [
        _facts(box) for box in asyncio.run(calls.list_appliances(read_deployment(state), site))
    ]
    if json:
        print_json(boxes)
        return
    print_table(
        ("id", "site", "health", "drained", "address", "objects", "held"),
        (
            (
                box["id"],
                box["site"],
                box["health"],
                "yes" if box["drained"] else "no",
                box["address"] or "-",
                f"{box['fill']['held_objects']}/{box['fill']['wanted_objects']}",
                _share(box["fill"]),
            )
            for box in boxes
        ),
    )


@app.command("status", epilog=examples("sluice fleet status", "sluice fleet status --json"))
def status(
    site: Annotated[
        str, typer.Option("--site", metavar="ID", help="Only the appliances of this site.")
    ] = "",
    state: State = DEFAULT_STATE,
    json: Json = False,
) -> None:
    """Show what is wrong with disks, and what fill brings for what it costs."""
    import asyncio

    from sluice_cli.fleet import calls
    from sluice_cli.printing import print_json, print_table

    boxes = [
        _facts(box) for box in asyncio.run(calls.list_appliances(read_deployment(state), site))
    ]
    if json:
        shown = ("id", "site", "health", "disks", "fill")
        print_json([{name: box[name] for name in shown} for box in boxes])
        return
    print_table(
        ("id", "site", "health", "disks", "not in use", "held", "roi"),
        (
            (
                box["id"],
                box["site"],
                box["health"],
                str(len(box["disks"])),
                "; ".join(map(_trouble, filter(_is_out, box["disks"]))) or "-",
                _share(box["fill"]),
                "-" if box["fill"]["roi"] is None else f"{box['fill']['roi']:.2f}",
            )
            for box in boxes
        ),
    )


@app.command("show", epilog=examples("sluice fleet show a-1"))
def show(appliance: ApplianceId, state: State = DEFAULT_STATE, json: Json = False) -> None:
    """Show all that is known of one appliance."""
    _print_one("get", appliance, state, json)


@app.command("drain", epilog=examples("sluice fleet drain a-1"))
def drain(appliance: ApplianceId, state: State = DEFAULT_STATE, json: Json = False) -> None:
    """Send no new clients to an appliance; sessions under way are not cut."""
    _print_one("drain", appliance, state, json)


@app.command("undrain", epilog=examples("sluice fleet undrain a-1"))
def undrain(appliance: ApplianceId, state: State = DEFAULT_STATE, json: Json = False) -> None:
    """Send new clients to a drained appliance again."""
    _print_one("undrain", appliance, state, json)


def _print_one(act: str, appliance: str, state: Path, as_json: bool) -> None:
    import asyncio

    from sluice_cli.fleet import calls
    from sluice_cli.printing import print_facts, print_json

    appliance_id = appliance.removeprefix("appliances/")
    if not appliance_id:
        raise BadArgument("the appliance's id is empty; see: sluice fleet list")
    facts = _facts(asyncio.run(calls.one_appliance(read_deployment(state), act, appliance_id)))
    if as_json:
        print_json(facts)
        return
    fill, disks = facts.pop("fill"), facts.pop("disks")
    print_facts(
        (
            *((name.replace("_", " "), _text(value)) for name, value in facts.items()),
            ("manifest", f"revision {fill['manifest_revision']}"),
            ("objects", f"{fill['held_objects']} of {fill['wanted_objects']} held"),
            ("bytes", f"{fill['held_bytes']} of {fill['wanted_bytes']} held"),
            (
                "roi",
                "-" if fill["roi"] is None else f"{fill['roi']:.2f} bytes sent for each fetched",
            ),
            *(("disk", f"{_trouble(disk)}, {disk['tier']}") for disk in disks),
        )
    )


def _facts(box: "fleet_pb2.Appliance") -> dict[str, Any]:
    from sluice.fill.v1 import fill_pb2
    from sluice.fleet.v1 import fleet_pb2

    serving = box.serving_address
    host = serving.ipv4 or (f"[{serving.ipv6}]" if serving.ipv6 else "")
    return {
        "id": box.name.removeprefix("appliances/"),
        "site": box.site.removeprefix("sites/"),
        "health": _word(fleet_pb2.ApplianceHealth.Name(box.health), "APPLIANCE_HEALTH_"),
        "health_reason": box.health_reason,
        "drained": box.drained,
        "weight": box.weight,
        "address": f"{host}:{serving.port}" if host else "",
        "software_version": box.software_version,
        "last_heartbeat": (
            box.last_heartbeat_time.ToJsonString() if box.HasField("last_heartbeat_time") else None
        ),
        "enrolled": box.enrol_time.ToJsonString() if box.HasField("enrol_time") else None,
        "fill": {
            "manifest_revision": box.fill.manifest_revision,
            "wanted_objects": box.fill.wanted_objects,
            "held_objects": box.fill.held_objects,
            "wanted_bytes": box.fill.wanted_bytes,
            "held_bytes": box.fill.held_bytes,
            "filled_bytes": box.fill.filled_bytes,
            "offloaded_bytes": box.fill.offloaded_bytes,
            "roi": (
                box.fill.offloaded_bytes / box.fill.filled_bytes if box.fill.filled_bytes else None
            ),
        },
        "disks": [
            {
                "disk": disk.disk,
                "tier": _word(fill_pb2.DiskTier.Name(disk.tier), "DISK_TIER_"),
                "state": _word(fill_pb2.DiskState.Name(disk.state), "DISK_STATE_"),
                "reason": disk.reason,
                "capacity_bytes": disk.capacity_bytes,
                "stored_bytes": disk.stored_bytes,
            }
            for disk in box.disks
        ],
    }


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower().replace("_", "-")


def _is_out(disk: dict[str, Any]) -> bool:
    return bool(disk["state"] != "in-use")


def _trouble(disk: dict[str, Any]) -> str:
    reason = f" ({disk['reason']})" if disk["reason"] else ""
    return f"{disk['disk']} {disk['state']}{reason}"


def _text(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case None | "":
            return "-"
        case _:
            return str(value)


def _share(fill: dict[str, int]) -> str:
    from sluice_cli.printing import megabytes

    if not fill["wanted_bytes"]:
        return "nothing wanted"
    return f"{fill['held_bytes'] / fill['wanted_bytes']:.0%} of {megabytes(fill['wanted_bytes'])}"
