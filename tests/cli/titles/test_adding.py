"""From a file to a title that plays: the encoder's events, its failures, and the fill that follows."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from cli.scripted import Desk, desk

from sluice.content.v1 import content_pb2
from sluice_cli.control_plane import as_operator
from sluice_cli.titles.adding import follow_fill
from sluice_cli.titles.encoding import Published, run_encoder
from sluice_cli.titles.errors import AddFailed

DONE = '{"step":"done","title":"titles/noise","version":"v1","objects":3,"bytes":900}'
PUBLISHED = Published("titles/noise", "v1", 3, 900)


def encoder(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def run(script: str) -> tuple[Published, list[tuple[str, float, str]]]:
    told: list[tuple[str, float, str]] = []
    published = asyncio.run(run_encoder(encoder(script), lambda *event: told.append(event)))
    return published, told


def test_each_step_of_the_encoder_is_told_and_its_end_is_what_was_published() -> None:
    published, told = run(
        'print(\'{"step":"encode","done":0.42,"detail":"720p"}\');'
        'print(\'{"step":"publish","done":7}\');'
        f"print('{DONE}')"
    )
    assert published == PUBLISHED
    # A share is never more than all.
    assert told == [("encode", 0.42, "720p"), ("publish", 1.0, "")]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            (
                "import sys; print('starting', file=sys.stderr);"
                "print('sluice-encoder: no video stream', file=sys.stderr); sys.exit(1)"
            ),
            "^no video stream$",
        ),
        ("raise SystemExit(3)", "ended with status 3"),
        ("import os; os.kill(os.getpid(), 9)", "ended with status -9"),
        ("pass", "without saying what it published"),
        ("print('hello')", "expected a JSON object a line"),
        ("print('x' * 1_000_000)", "a line of more than"),
        ('print(\'{"step":"done"}\')', "expected title, version and sizes"),
    ],
)
def test_an_encoder_that_fails_is_reported_in_one_line(script: str, words: str) -> None:
    with pytest.raises(AddFailed, match=words):
        run(script)


def test_an_encoder_that_is_not_installed_is_named() -> None:
    with pytest.raises(AddFailed, match="install sluice"):
        asyncio.run(run_encoder(["/no/such/sluice-encoder"], lambda *event: None))


def test_a_cancelled_add_leaves_no_encoder_behind(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = (
        "import os, pathlib, time;"
        f"pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid()));"
        'print(\'{"step":"encode","done":0.0}\', flush=True); time.sleep(60)'
    )

    async def scene() -> None:
        started = asyncio.Event()
        work = asyncio.create_task(run_encoder(encoder(script), lambda *event: started.set()))
        async with asyncio.timeout(10):
            await started.wait()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work

    asyncio.run(scene())
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_the_fill_is_followed_until_the_title_is_live(tmp_path: Path) -> None:
    told: list[float] = []

    async def scene() -> None:
        async with desk(tmp_path) as made:
            _publish(made, live_after_questions=3)
            made.fleet.fills = True
            async with as_operator(made.deployment) as channel:
                await follow_fill(
                    channel, PUBLISHED, lambda step, share, detail: told.append(share), timeout_s=20
                )

    asyncio.run(scene())
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) == 4


def test_a_fill_that_does_not_end_is_left_to_go_on_and_says_who_holds_what(tmp_path: Path) -> None:
    async def scene() -> None:
        async with desk(tmp_path) as made:
            _publish(made, live_after_questions=-1)
            async with as_operator(made.deployment) as channel:
                await follow_fill(channel, PUBLISHED, lambda *event: None, timeout_s=0.6)

    with pytest.raises(AddFailed, match=r"titles/noise is published and not live.*a-1 0/0 MB"):
        asyncio.run(scene())


def _publish(made: Desk, *, live_after_questions: int) -> None:
    made.content.titles["titles/noise"] = content_pb2.Title(
        name="titles/noise", version="v1", state=content_pb2.TITLE_STATE_FILLING
    )
    made.content.live_after_questions = live_after_questions
