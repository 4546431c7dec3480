"""The file of the accounts: found again, and put aside where it is damaged."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from sluice_appliance.fill.bookkeeper import Bookkeeper
from sluice_appliance.fill.policy import NO_LIMITS, FillPolicy, Priority
from sluice_appliance.fill.tally import FillTally
from sluice_appliance.metrics import supervisor_counters

NOON = 1_763_985_600.0
POLICY = FillPolicy(window_bytes_max=1000)


class Desk:
    """One run of a box after another, with the same file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counters = supervisor_counters()

    def run(self, took_bytes: int) -> float:
        """What of the window is left at the end of the run."""
        return asyncio.run(self._run(took_bytes))

    async def _run(self, took_bytes: int) -> float:
        books = Bookkeeper(self.path, FillTally(self.counters), wall_clock=lambda: NOON)
        await books.open()
        if took_bytes:
            books.took(took_bytes, POLICY, Priority.NORMAL, flash=True)
        await books.save()
        return books.may(POLICY, flash_capacity_bytes=0).normal.left_bytes

    @property
    def lost(self) -> int:
        return self.counters.totals()["sluice_appliance_fill_accounts_lost_total"]


def test_what_was_taken_of_a_window_is_known_after_a_restart(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "fill-accounts.json")
    assert desk.run(300) == 700
    assert desk.run(0) == 700
    assert desk.lost == 0


@pytest.mark.parametrize("content", [b"", b'{"wall": 1', b"\xff\xfe", b'{"wall": "noon"}'])
def test_a_damaged_file_is_told_in_one_line_put_aside_and_begun_anew(
    tmp_path: Path, content: bytes
) -> None:
    desk = Desk(tmp_path / "fill-accounts.json")
    desk.run(300)
    desk.path.write_bytes(content)
    with capture_logs() as lines:
        assert desk.run(0) == 1000
    [line] = lines
    aside = tmp_path / "fill-accounts.damaged"
    assert (line["event"], line["path"]) == ("fill_accounts_lost", str(desk.path))
    assert line["put_aside"] == str(aside)
    assert line["reason"]
    assert aside.read_bytes() == content
    assert desk.lost == 1
    assert desk.run(0) == 1000
    assert desk.lost == 1


def test_a_file_that_cannot_be_read_or_written_ends_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "folder" / "fill-accounts.json")
    desk.path.mkdir(parents=True)
    (desk.path.with_suffix(".damaged")).write_bytes(b"in the way")
    with capture_logs() as lines:
        assert desk.run(300) == 700
    assert [line["event"] for line in lines] == ["fill_accounts_lost", "fill_accounts_unsaved"]
    assert desk.counters.totals()["sluice_appliance_fill_disk_errors_total"] == 1


def test_an_opening_is_looked_up_once_a_second_and_anew_for_another_policy() -> None:
    async def main() -> None:
        now = NOON
        books = Bookkeeper(None, FillTally(supervisor_counters()), wall_clock=lambda: now)
        first = books.opening(NO_LIMITS)
        assert books.opening(NO_LIMITS) is first
        now += 86_400.0
        later = books.opening(NO_LIMITS)
        assert later is not None
        assert first is not None
        assert later.opens_at == first.opens_at + 86_400.0

    asyncio.run(main())
