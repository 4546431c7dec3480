"""The appliance that is serving is killed in mid-play, and nobody watching sees it."""

import json
import time

from scenarios.conftest import TITLE
from scenarios.stack import APPLIANCES, Stack, until

CLIENT = "10.2.3.4"


def test_a_film_plays_on_when_its_appliance_is_killed_and_dns_follows_within_five_seconds(
    stack: Stack,
) -> None:
    bucket = stack.facts("explain", CLIENT, "--title", TITLE)["bucket"]
    first = stack.named(bucket, CLIENT)[0]
    name = next(key for key, address in APPLIANCES.items() if address == first)
    before = _sent_bytes(stack, name)

    with stack.playing(TITLE, "--client", CLIENT, "--realtime", "--buffer-s", "3") as player:
        until("it serves", lambda: _sent_bytes(stack, name) > before, within_s=15)
        stack.kill(name)
        killed_at = time.monotonic()
        until("DNS forgets it", lambda: first not in stack.named(bucket, CLIENT), within_s=5)
        gone_after_s = time.monotonic() - killed_at
        output, errors = player.communicate(timeout=60)

    assert player.returncode == 0, output + errors
    played = json.loads(output)
    assert played["digest_ok"] is True
    assert played["failovers"] >= 1
    assert set(played["appliances"]) == {"b-1", "b-2"}
    assert gone_after_s < 5
    until("it is named again", lambda: first in stack.named(bucket, CLIENT), within_s=40)
    assert any(f"{name} was killed by signal 9" in line for line in stack.lines)


def _sent_bytes(stack: Stack, name: str) -> float:
    return sum(
        value
        for key, value in stack.counters(name).items()
        if key.startswith("sluice_appliance_body_bytes_total")
    )
