import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runtime.processes import DEADLINE_S, alive, end, eventually, pid_in

from sluice_runtime.lifecycle import Backoff, Exited, Keeper, ProcessSpec, Started

# A child that starts a grandchild in its own group and ends.
LEAVES_A_GRANDCHILD = """
import pathlib, subprocess, sys
grandchild = subprocess.Popen(["sleep", "600"])
pathlib.Path(sys.argv[1]).write_text(f"{grandchild.pid}\\n")
"""
STUBBORN = """
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()}\\n")
while True:
    time.sleep(600)
"""
RETIRES = """
import os, pathlib, signal, sys, time
def leave(number, frame):
    time.sleep(0.1)
    print("in my own time")
    sys.exit()
signal.signal(signal.SIGQUIT, leave)
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()}\\n")
while True:
    time.sleep(600)
"""
KEPT = """
import os, pathlib, sys, time
from sluice_runtime.lifecycle import die_with_keeper
die_with_keeper()
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()}\\n")
while True:
    time.sleep(600)
"""
KEEPER = """
import asyncio, sys, time
from sluice_runtime.lifecycle import Backoff, Keeper, ProcessSpec
spec = ProcessSpec("kept", (sys.executable, "-c", sys.argv[1], sys.argv[2]))
asyncio.run(Keeper(spec, backoff=Backoff(), clock=time.monotonic, on_event=print).run())
"""
STOPPABLE = """
import asyncio
from sluice_runtime.lifecycle import stop_signals
async def main():
    with stop_signals() as stop:
        print("ready", flush=True)
        await stop.wait()
    print("closed", flush=True)
asyncio.run(main())
"""


@given(st.integers(1, 10_000), st.floats(0, 1000))
def test_waits_grow_are_bounded_and_are_forgotten_after_a_calm_run(
    failures: int, ran_s: float
) -> None:
    backoff = Backoff(initial_s=0.5, longest_s=30.0, calm_s=60.0)
    wait_s = backoff.delay_s(failures)
    assert 0.5 <= wait_s <= backoff.delay_s(failures + 1) <= 30.0
    after = backoff.failures_after(ran_s, failures)
    assert after == (1 if ran_s >= 60.0 else failures + 1)


def keeper_of(
    script: str, argument: Path, events: list[Started | Exited], *, stop_timeout_s: float = 10.0
) -> Keeper:
    return Keeper(
        ProcessSpec(
            "child",
            (sys.executable, "-c", script, str(argument)),
            log_path=argument.with_suffix(".log"),
            stop_timeout_s=stop_timeout_s,
        ),
        backoff=Backoff(initial_s=0.01, longest_s=0.01),
        clock=time.monotonic,
        on_event=events.append,
    )


async def until(keeper: Keeper, reached: asyncio.Event) -> None:
    """Runs a keeper until `reached`, then cancels it as a program that stops does."""
    running = asyncio.ensure_future(keeper.run())
    try:
        async with asyncio.timeout(DEADLINE_S):
            await reached.wait()
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def test_a_child_that_ends_is_started_again_and_what_it_left_behind_is_killed(
    tmp_path: Path,
) -> None:
    events: list[Started | Exited] = []
    grandchildren: list[int] = []

    async def run() -> Keeper:
        reached = asyncio.Event()
        keeper = keeper_of(LEAVES_A_GRANDCHILD, tmp_path / "pid", events)

        def heard(event: Started | Exited) -> None:
            events.append(event)
            if isinstance(event, Exited):
                grandchildren.append(pid_in(tmp_path / "pid"))
                if keeper.restarts == 3:
                    reached.set()

        keeper._on_event = heard
        await until(keeper, reached)
        return keeper

    keeper = asyncio.run(run())
    assert keeper.pid is None
    exits = [event for event in events if isinstance(event, Exited)]
    assert [event.returncode for event in exits[:3]] == [0, 0, 0]
    assert len({event.pid for event in exits}) == len(exits)
    assert all(event.restart_in_s == 0.01 for event in exits)
    for pid in grandchildren:
        eventually(lambda pid=pid: not alive(pid), f"grandchild {pid} is dead")  # type: ignore[misc]


def test_a_child_that_ignores_sigterm_is_killed_when_its_time_is_over(tmp_path: Path) -> None:
    async def run() -> int:
        keeper = keeper_of(STUBBORN, tmp_path / "pid", [], stop_timeout_s=0.2)
        running = asyncio.ensure_future(keeper.run())
        pid = await asyncio.to_thread(pid_in, tmp_path / "pid")
        assert keeper.pid == pid
        running.cancel()
        with suppress(asyncio.CancelledError):
            async with asyncio.timeout(DEADLINE_S):
                await running
        return pid

    assert not alive(asyncio.run(run()))


def test_a_child_that_is_retired_ends_in_its_own_time_and_none_takes_its_place(
    tmp_path: Path,
) -> None:
    events: list[Started | Exited] = []

    async def run() -> Keeper:
        keeper = keeper_of(RETIRES, tmp_path / "pid", events)
        running = asyncio.ensure_future(keeper.run())
        await asyncio.to_thread(pid_in, tmp_path / "pid")
        keeper.retire(signal.SIGQUIT)
        async with asyncio.timeout(DEADLINE_S):
            await running
        return keeper

    keeper = asyncio.run(run())
    assert (tmp_path / "pid.log").read_text() == "in my own time\n"
    assert [type(event) for event in events] == [Started]
    assert keeper.restarts == 0


@pytest.mark.parametrize("inherited", [signal.SIG_DFL, signal.SIG_IGN])
def test_a_child_that_is_retired_while_it_is_being_started_hears_of_it(
    tmp_path: Path, inherited: signal.Handlers
) -> None:
    """Ignored, as a shell has what it starts in the background ignore it."""
    events: list[Started | Exited] = []
    before = signal.signal(signal.SIGQUIT, inherited)

    async def run() -> None:
        keeper = keeper_of(RETIRES, tmp_path / "pid", events)
        running = asyncio.ensure_future(keeper.run())
        await asyncio.sleep(0)
        assert keeper.pid is None
        keeper.retire(signal.SIGQUIT)
        async with asyncio.timeout(DEADLINE_S):
            await running

    try:
        asyncio.run(run())
    finally:
        signal.signal(signal.SIGQUIT, before)
    assert [type(event) for event in events] == [Started]


def test_a_child_that_is_retired_while_it_waits_to_start_again_does_not_start(
    tmp_path: Path,
) -> None:
    events: list[Started | Exited] = []

    async def run() -> None:
        ended = asyncio.Event()

        def heard(event: Started | Exited) -> None:
            events.append(event)
            if isinstance(event, Exited):
                ended.set()

        keeper = Keeper(
            ProcessSpec("child", (sys.executable, "-c", "")),
            backoff=Backoff(initial_s=3600.0, longest_s=3600.0),
            clock=time.monotonic,
            on_event=heard,
        )
        running = asyncio.ensure_future(keeper.run())
        async with asyncio.timeout(DEADLINE_S):
            await ended.wait()
            keeper.retire(signal.SIGQUIT)
            await running

    asyncio.run(run())
    assert [type(event) for event in events] == [Started, Exited]


def test_what_a_child_says_is_in_its_log_and_its_exit_is_told_as_it_was(tmp_path: Path) -> None:
    events: list[Started | Exited] = []

    async def run() -> None:
        reached = asyncio.Event()
        keeper = keeper_of("print('hello'); raise SystemExit(7)", tmp_path / "child", events)

        def heard(event: Started | Exited) -> None:
            events.append(event)
            if isinstance(event, Exited):
                reached.set()

        keeper._on_event = heard
        await until(keeper, reached)

    asyncio.run(run())
    exits = [event for event in events if isinstance(event, Exited)]
    assert (exits[0].name, exits[0].returncode) == ("child", 7)
    assert (tmp_path / "child.log").read_text().startswith("hello\n")


def test_a_program_that_is_not_there_is_an_error_of_its_keeper(tmp_path: Path) -> None:
    keeper = Keeper(
        ProcessSpec("gone", (str(tmp_path / "gone"),)),
        backoff=Backoff(),
        clock=time.monotonic,
        on_event=lambda event: None,
    )
    with pytest.raises(FileNotFoundError, match="gone"):
        asyncio.run(keeper.run())


def test_a_kept_child_dies_with_a_keeper_that_is_killed(tmp_path: Path) -> None:
    keeper = subprocess.Popen(
        [sys.executable, "-c", KEEPER, KEPT, tmp_path / "pid"], stdout=subprocess.DEVNULL
    )
    try:
        child = pid_in(tmp_path / "pid")
        assert alive(child)
    finally:
        keeper.kill()
        keeper.wait()
    try:
        eventually(lambda: not alive(child), "the kept child is dead")
    finally:
        end(child)


def test_a_program_that_nobody_keeps_outlives_who_started_it(tmp_path: Path) -> None:
    starter = (
        "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1], sys.argv[2]])"
    )
    subprocess.run([sys.executable, "-c", starter, KEPT, tmp_path / "pid"], check=True)
    child = pid_in(tmp_path / "pid")
    try:
        assert alive(child)
    finally:
        end(child)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_program_that_is_told_to_stop_closes_and_exits_with_0(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STOPPABLE], stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        program.send_signal(number)
        assert program.stdout.read() == "closed\n"
        assert program.wait(DEADLINE_S) == 0


def test_a_child_may_run_on_cores_that_its_keeper_keeps_off(tmp_path: Path) -> None:
    cores = os.sched_getaffinity(0)
    found: list[set[int]] = []

    async def run() -> None:
        reached = asyncio.Event()

        def heard(event: Started | Exited) -> None:
            found.append(os.sched_getaffinity(event.pid))
            reached.set()

        spec = ProcessSpec(
            "child",
            (sys.executable, "-c", "import time; time.sleep(60)"),
            cores=frozenset(cores),
            log_path=tmp_path / "log",
        )
        clock = time.monotonic
        await until(Keeper(spec, backoff=Backoff(), clock=clock, on_event=heard), reached)

    def keep() -> None:
        os.sched_setaffinity(0, {min(cores)})
        asyncio.run(run())

    keeping = threading.Thread(target=keep)
    keeping.start()
    keeping.join()
    assert found[0] == cores
