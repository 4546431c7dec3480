"""What may be written to flash in a day, whoever writes it."""

import asyncio
from collections.abc import Callable
from math import inf

from sluice_appliance.fill.bookkeeper import Bookkeeper
from sluice_appliance.fill.pace import Pace
from sluice_appliance.fill.plan import Fetch
from sluice_appliance.fill.policy import NO_LIMITS, FillPolicy, Priority
from sluice_appliance.fill.spending import Spending
from sluice_appliance.fill.tally import FillTally
from sluice_appliance.metrics import supervisor_counters
from sluice_appliance.object_key import parse_key
from sluice_appliance.store.disks import Tier
from sluice_appliance.store.layout import ObjectHeader

ONE_WRITE = FillPolicy(drive_writes_per_day=1.0)
WANTED = ObjectHeader(parse_key("film/v1/a.mp4"), 900, bytes(32), "video/mp4")


def fetch(tier: Tier) -> Fetch:
    return Fetch("titles/film", "v1", WANTED, tier, 900)


def spends(policy: FillPolicy, story: Callable[[Spending, Bookkeeper], None]) -> None:
    """With flash of 1,000 bytes, and 300 promised to fetches for it."""

    async def run() -> None:
        tally = FillTally(supervisor_counters())
        books = Bookkeeper(None, tally, wall_clock=lambda: 0.0)
        promised = {Tier.SSD: 300.0, Tier.HDD: 5000.0, None: 5300.0}
        spending = Spending(books, Pace(), tally, promised_bytes=promised.__getitem__)
        spending.policy = policy
        spending.flash_capacity_bytes = 1000
        story(spending, books)

    asyncio.run(run())


def test_what_fill_misses_and_the_audit_write_to_flash_is_one_days_purse() -> None:
    def story(spending: Spending, books: Bookkeeper) -> None:
        assert spending.flash_left_bytes() == 700
        purse = spending.purse(fetch(Tier.SSD), Priority.NORMAL)
        purse.take(200)
        # A miss that was kept, or an old file that was made new.
        books.wrote_flash(100)
        assert spending.flash_left_bytes() == 400
        assert spending.may().flash.left_bytes == 700
        # What was ordered before others wrote to it is given what is left, and no more.
        assert spending.purse(fetch(Tier.SSD), Priority.EMERGENCY).left_bytes == 400
        assert spending.purse(fetch(Tier.HDD), Priority.NORMAL).left_bytes == 900
        books.wrote_flash(10_000)
        assert spending.flash_left_bytes() == 0
        assert spending.purse(fetch(Tier.SSD), Priority.NORMAL).is_empty

    spends(ONE_WRITE, story)


def test_without_a_limit_flash_takes_what_comes() -> None:
    def story(spending: Spending, books: Bookkeeper) -> None:
        books.wrote_flash(10_000)
        assert spending.flash_left_bytes() == inf
        assert spending.purse(fetch(Tier.SSD), Priority.NORMAL).left_bytes == 900

    spends(NO_LIMITS, story)
