"""With the control plane gone, what viewers see goes on; when it is back, everybody re-joins."""

import json
import urllib.request

from scenarios.conftest import TITLE
from scenarios.stack import Stack, until


def test_viewers_notice_nothing_while_the_control_plane_is_gone_and_the_fleet_rejoins(
    stack: Stack,
) -> None:
    bucket = stack.facts("explain", "10.1.2.3", "--title", TITLE)["bucket"]
    named = stack.named(bucket, "10.1.2.3")

    stack.kill("control-plane")
    played = stack.facts("play", TITLE, "--client", "10.1.2.3")
    still_named = stack.named(bucket, "10.1.2.3")
    with urllib.request.urlopen(
        f"http://127.0.0.1:{stack.ports['gateway']}/v1/titles", timeout=5
    ) as answer:
        titles = json.load(answer)["titles"]
    gone = stack.sluice("fleet", "list")

    assert stack.pid_of("control-plane") is None, "it came back before the test was over"
    assert played["digest_ok"] is True
    assert still_named == named
    assert [title["name"] for title in titles] == [f"titles/{TITLE}"]
    assert gone.returncode != 0
    assert "does not answer" in gone.stderr
    assert "Traceback" not in gone.stderr

    def rejoined() -> bool:
        done = stack.sluice("status", "--json")
        if done.returncode != 0:
            return False
        fleet = json.loads(done.stdout)["appliances"]
        return len(fleet) == 4 and all(box["health"] == "UP" for box in fleet)

    until("the fleet re-joins", rejoined, within_s=40, every_s=0.5)
    assert stack.named(bucket, "10.1.2.3") == named
    assert stack.facts("explain", "10.1.2.3", "--title", TITLE)["answer"]
