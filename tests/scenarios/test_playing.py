"""A client in each site plays the film whole, out of its own site."""

import hashlib
import json
import urllib.request
from typing import Any

import pytest
from scenarios.conftest import TITLE
from scenarios.stack import APPLIANCES, ZONE, Stack, until


@pytest.mark.parametrize(
    ("client", "site"),
    [
        ("10.1.2.3", "a"),
        ("10.2.200.9", "b"),
        ("2001:db8:a::7", "a"),
        ("2001:db8:b:1::7", "b"),
    ],
)
def test_every_byte_of_a_film_comes_from_the_clients_own_site(
    stack: Stack, client: str, site: str
) -> None:
    played = stack.facts("play", TITLE, "--client", client)

    assert played["digest_ok"] is True
    assert played["failovers"] == 0
    assert set(played["appliances"]) <= {f"{site}-1", f"{site}-2"}
    assert sum(played["appliances"].values()) == played["bytes"] > 0
    assert played["seconds"] == pytest.approx(12, abs=0.5)


def test_a_client_nobody_announced_gets_the_default_class_and_plays(stack: Stack) -> None:
    explained = stack.facts("explain", "192.0.2.7", "--title", TITLE)
    played = stack.facts("play", TITLE, "--client", "192.0.2.7", "--seconds", "4")

    assert explained["class_index"] == 0
    assert explained["matching_prefix"] is None
    assert played["digest_ok"] is True


def test_explain_dns_and_the_playback_api_give_one_client_the_same_appliances(
    stack: Stack,
) -> None:
    for client in ("10.1.2.3", "10.2.2.3", "198.51.100.1"):
        explained = stack.facts("explain", client, "--title", TITLE)
        answer = [name.removeprefix("appliances/") for name in explained["answer"]]

        named = stack.named(explained["bucket"], client)
        playback = _playback(stack, client)

        assert named == [APPLIANCES[name] for name in answer]
        assert [pathway["host"] for pathway in playback["pathways"]][: len(named)] == named


def test_the_scope_of_an_answer_is_the_prefix_that_the_partner_announced(stack: Stack) -> None:
    answer = stack.ask(f"b0000.{ZONE}", "10.1.2.3")

    subnet = next(option for option in answer.options if hasattr(option, "scopelen"))
    assert (subnet.srclen, subnet.scopelen) == (24, 16)


def test_a_chosen_rendition_is_the_only_video_that_is_played(stack: Stack) -> None:
    title = next(entry for entry in stack.facts("title", "list") if entry["id"] == TITLE)
    videos = [name for name in title["renditions"] if name.startswith("h264")]

    played = stack.facts("play", TITLE, "--rendition", videos[-1], "--seconds", "4")

    assert [name for name in played["renditions"] if name.startswith("h264")] == [videos[-1]]


def test_bytes_from_an_appliance_are_the_bytes_that_were_published(stack: Stack) -> None:
    playback = _playback(stack, "10.1.2.3")
    with urllib.request.urlopen(playback["integrity"]["url"], timeout=10) as answer:
        body = answer.read()

    assert hashlib.sha256(body).hexdigest() == playback["integrity"]["sha256"]
    prefix = playback["hls_url"].rpartition("/")[0]
    for name, facts in json.loads(body)["objects"].items():
        with urllib.request.urlopen(f"{prefix}/{name}", timeout=10) as answer:
            whole = answer.read()
        assert hashlib.sha256(whole).hexdigest() == facts["sha256"], name
        for offset, size, digest in facts["ranges"]:
            part = whole[offset : offset + size]
            assert hashlib.sha256(part).hexdigest() == digest, (name, offset, size)


def test_a_drained_appliance_gets_no_new_clients_and_an_undrained_one_does(stack: Stack) -> None:
    bucket = stack.facts("explain", "10.1.2.3", "--title", TITLE)["bucket"]
    first = stack.named(bucket, "10.1.2.3")[0]
    name = next(key for key, address in APPLIANCES.items() if address == first)

    try:
        stack.facts("fleet", "drain", name)
        until("DNS forgets", lambda: first not in stack.named(bucket, "10.1.2.3"), within_s=5)
    finally:
        stack.facts("fleet", "undrain", name)
    until("DNS names it again", lambda: first in stack.named(bucket, "10.1.2.3"), within_s=5)


def _playback(stack: Stack, client: str) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{stack.ports['gateway']}/v1/playback",
        data=json.dumps({"title": TITLE, "client_address": client, "resolve": True}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)
