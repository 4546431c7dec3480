"""The commands as people run them: what they print, and the one line when they cannot."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from cli.playing.theatre import lies, only_media, theatre
from cli.scripted import Desk, Done, deployment_in, desk, sluice

from sluice.content.v1 import content_pb2
from sluice_cli.deployment import write_deployment


def at_desk(state: Path, scene: Callable[[Desk], Awaitable[None]]) -> None:
    async def open_and_run() -> None:
        async with desk(state) as made:
            await scene(made)

    asyncio.run(open_and_run())


def is_one_line(done: Done, status: int, *words: str) -> None:
    """A refusal: the status, one line that starts with our name, no traceback."""
    assert done.status == status, done.errors
    assert done.errors.startswith("sluice: ")
    assert done.errors.count("\n") == 1, done.errors
    for word in words:
        assert word in done.errors


@pytest.mark.parametrize(
    "command",
    [
        ("play", "x"),
        ("explain", "10.1.2.3"),
        ("fleet", "list"),
        ("fleet", "show", "a-1"),
        ("title", "list"),
        ("title", "remove", "x"),
        ("keys", "list"),
        ("keys", "rotate"),
    ],
)
def test_every_command_says_how_to_start_what_does_not_run(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    done = asyncio.run(sluice(*command, state=tmp_path))
    is_one_line(done, 1, "nothing runs in", "sluice up")


@pytest.mark.parametrize(
    "command",
    [("fleet", "list"), ("title", "list"), ("explain", "10.1.2.3"), ("fleet", "drain", "a-1")],
)
def test_a_control_plane_that_is_gone_is_named_with_its_address(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    async def scene(made: Desk) -> None:
        await made.stop()
        is_one_line(
            await made.sluice(*command), 1, made.deployment.control_plane, "is `sluice up` running"
        )

    at_desk(tmp_path, scene)


def test_an_identity_that_is_missing_is_named_with_its_file(tmp_path: Path) -> None:
    write_deployment(tmp_path, deployment_in(tmp_path, control_plane="127.0.0.1:1"))
    done = asyncio.run(sluice("fleet", "list", state=tmp_path))
    is_one_line(done, 2, str(tmp_path / "operator"))


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "up.json"), ("{}", "gateway"), ('{"gateway": 7}', "up.json"), ("[]", "up.json")],
)
def test_a_broken_up_json_is_named_with_what_is_wrong(
    tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "up.json").write_text(text)
    is_one_line(asyncio.run(sluice("fleet", "list", state=tmp_path)), 2, words, "sluice up")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("play", "x", "--client", "10.1.2"), "--client is '10.1.2'"),
        (("play", "x", "--seconds", "0"), "--seconds is 0"),
        (("play", "x", "--seconds", "nan"), "--seconds is nan"),
        (("play", "x", "--buffer-s", "-1"), "--buffer-s is -1"),
        (("explain", "site-a"), "'site-a' is not an IPv4 or IPv6 address"),
        (("title", "add", "/no/such/file", "--name", "X"), "/no/such/file: no such file"),
        (("title", "add", "/no/such/file", "--name", "…"), "give one with --id"),
        (("title", "add", "/x", "--name", "X", "--id", "X_Y"), "the id is 'X_Y'"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error_of_one_line(
    tmp_path: Path, command: tuple[str, ...], words: str
) -> None:
    is_one_line(asyncio.run(sluice(*command, state=tmp_path)), 2, words)


def test_the_fleet_is_listed_over_all_pages_for_people_and_for_programs(tmp_path: Path) -> None:
    async def scene(made: Desk) -> None:
        table = await made.sluice("fleet", "list")
        assert table.status == 0, table.errors
        assert [line.split()[0] for line in table.output.splitlines()] == [
            "ID",
            "a-1",
            "a-2",
            "b-1",
        ]

        facts = json.loads((await made.sluice("fleet", "list", "--json")).output)
        assert [box["id"] for box in facts] == ["a-1", "a-2", "b-1"]
        assert facts[0]["site"] == "site-a"
        assert facts[0]["health"] == "up"
        assert facts[0]["address"] == "127.0.10.1:8081"
        assert facts[0]["fill"]["wanted_objects"] == 4

        of_site = await made.sluice("fleet", "list", "--site", "site-b", "--json")
        assert [box["id"] for box in json.loads(of_site.output)] == ["b-1"]

    at_desk(tmp_path, scene)


def test_draining_and_undraining_show_the_appliance_as_it_is_then(tmp_path: Path) -> None:
    async def scene(made: Desk) -> None:
        drained = await made.sluice("fleet", "drain", "a-1", "--json")
        assert json.loads(drained.output)["drained"] is True
        assert _is_drained(made)

        shown = await made.sluice("fleet", "show", "appliances/a-1")
        assert shown.status == 0
        assert "drained           yes" in shown.output

        assert (await made.sluice("fleet", "undrain", "a-1")).status == 0
        assert not _is_drained(made)

        is_one_line(
            await made.sluice("fleet", "drain", "z-9"), 1, "appliances/z-9 is not in the fleet"
        )

    at_desk(tmp_path, scene)


def test_titles_are_listed_and_removed(tmp_path: Path) -> None:
    async def scene(made: Desk) -> None:
        title = content_pb2.Title(
            name="titles/noise",
            display_name="Noise",
            version="v1",
            bucket=42,
            state=content_pb2.TITLE_STATE_LIVE,
            renditions=[content_pb2.Rendition(rendition_id="h264-360p")],
        )
        title.duration.FromMilliseconds(12_500)
        made.content.titles[title.name] = title

        [facts] = json.loads((await made.sluice("title", "list", "--json")).output)
        assert facts["id"] == "noise"
        assert facts["state"] == "live"
        assert facts["seconds"] == 12.5
        assert facts["renditions"] == ["h264-360p"]
        assert "Noise" in (await made.sluice("title", "list")).output

        assert (await made.sluice("title", "remove", "noise")).status == 0
        assert not made.content.titles
        is_one_line(await made.sluice("title", "remove", "noise"), 1, "there is no titles/noise")

    at_desk(tmp_path, scene)


def test_explain_prints_the_reasons_for_people_and_for_programs(tmp_path: Path) -> None:
    async def scene(made: Desk) -> None:
        people = await made.sluice("explain", "10.1.2.3")
        assert people.status == 0, people.errors
        for words in ("10.1.0.0/16", "sites/site-a", "healthy and holds the bucket", "/16"):
            assert words in people.output

        done = await made.sluice("explain", "10.1.2.3", "--title", "noise", "--json")
        facts = json.loads(done.output)
        assert facts["bucket"] == 173
        assert facts["answer"] == ["appliances/a-1"]
        assert facts["sites"][0]["appliances"][0]["eligible"] is True
        assert [request.title for request in made.steering.asked] == ["", "titles/noise"]

    at_desk(tmp_path, scene)


def test_play_prints_one_json_document_and_succeeds_only_when_all_was_verified(
    tmp_path: Path,
) -> None:
    async def scene() -> None:
        async with theatre(tmp_path) as stage:
            good = await sluice("play", "noise", "--client", "10.1.2.3", "--json", state=tmp_path)
            for box in stage.boxes.values():
                box.fault = only_media(lies)
            bad = await sluice("play", "noise", "--json", state=tmp_path)
        assert good.status == 0, good.errors
        assert good.errors == ""
        facts = json.loads(good.output)
        assert facts["title"] == "titles/noise"
        assert facts["client"] == "10.1.2.3"
        assert facts["digest_ok"] is True
        # Without an operator's identity the gateway knows whose addresses they are.
        assert facts["appliances"] == {"a-1": facts["bytes"]}

        is_one_line(bad, 1, "nobody has")
        assert json.loads(bad.output)["digest_ok"] is False

    asyncio.run(scene())


def test_play_tells_people_where_the_bytes_came_from(tmp_path: Path) -> None:
    async def scene() -> Done:
        async with theatre(tmp_path):
            return await sluice("play", "noise", "--seconds", "4", state=tmp_path)

    done = asyncio.run(scene())
    assert done.status == 0, done.errors
    assert "every byte verified" in done.output
    assert "a-1" in done.output


def test_a_gateway_that_is_gone_is_named_with_its_address(tmp_path: Path) -> None:
    write_deployment(tmp_path, deployment_in(tmp_path, control_plane="127.0.0.1:1"))
    done = asyncio.run(sluice("play", "noise", state=tmp_path))
    is_one_line(done, 1, "http://127.0.0.1:1", "is `sluice up` running")


def _is_drained(made: Desk) -> bool:
    return made.fleet.boxes["appliances/a-1"].drained
