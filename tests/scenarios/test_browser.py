"""A real browser opens the page and plays the film."""

import json
import subprocess
from pathlib import Path

import pytest
from scenarios.stack import Stack

PLAY = Path(__file__).parent / "browser" / "play.mjs"


@pytest.mark.browser
def test_a_real_browser_plays_the_film_for_five_seconds_without_an_error(stack: Stack) -> None:
    done = subprocess.run(
        ["node", str(PLAY), f"http://127.0.0.1:{stack.ports['gateway']}/"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout.strip().splitlines()[-1])
    assert seen["advanced_s"] >= 5
    assert seen["errors"] == []
