"""A disk that no longer reads some of an object: the audit finds it without a client, and others are left alone."""

from pathlib import Path

import pytest
from appliance.serving.broken_disk import breakable_disk
from appliance.serving.slow_disk import evict
from appliance.store.damage import KEYS, put

from sluice_appliance.store.checking import Finding, Verdict
from sluice_appliance.store.disks import DiskSpec, DiskState, Tier
from sluice_appliance.store.layout import BODY_OFFSET
from sluice_appliance.store.store import Store

DISK_BYTES = 64 << 20


@pytest.mark.parametrize("in_memory", [False, True])
def test_an_object_that_the_disk_no_longer_reads_is_put_away_and_comes_again_on_another_disk(
    tmp_path: Path, in_memory: bool
) -> None:
    with breakable_disk(tmp_path, size_bytes=DISK_BYTES) as broken:
        (tmp_path / "sound").mkdir()
        specs = [
            DiskSpec(broken.path, DISK_BYTES, Tier.SSD),
            DiskSpec(tmp_path / "sound", DISK_BYTES, Tier.HDD),
        ]
        with Store.open(tmp_path / "store", specs) as store:
            path = put(store, KEYS[0])
            assert path.is_relative_to(broken.path)
            broken.break_from(path, BODY_OFFSET + (1 << 20))
            if not in_memory:
                evict(path)
            # Else the page cache has all of it, and would hide that the disk has not.
            steps = store.audit(str(broken.path))
            findings = [step for step in steps if isinstance(step, Finding)]
            assert [found.verdict for found in findings] == [Verdict.UNREADABLE]
            assert findings[0].reason == "Input/output error"
            assert store.disks()[0].errors >= 1
            assert store.held(KEYS[0]) is None
            # Where the disk still takes files it is used on, and what it lost comes again.
            assert Path(put(store, KEYS[0])).exists()
            assert store.held(KEYS[0]) is not None
            assert store.disks()[1].state is DiskState.IN_USE
