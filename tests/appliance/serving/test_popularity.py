"""Hits of each object, counted by processes that die at any point and drained by one that lives."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sluice_appliance.serving.popularity import SLOTS, Drained, Hits, Popularity

WORKER = """
import sys
from sluice_appliance.serving.popularity import Popularity
table = Popularity.inherited(int(sys.argv[1])).claim()
for line in sys.stdin:
    key, hits, sent_bytes = line.split()
    slot = table.take(key)
    table.hits[slot] += int(hits)
    table.sent_bytes[slot] += int(sent_bytes)
    table.leave(slot)
    print(slot, flush=True)
"""


# So few slots that they are used again and again.
FEW = 5

HASTY = """
import sys
from sluice_appliance.serving.popularity import Popularity
table = Popularity.inherited(int(sys.argv[1])).claim(slots=5)
for number in range(20_000):
    slot = table.take(f"film/v1/{number % 12}")
    table.hits[slot] += 1
    table.sent_bytes[slot] += 1 + number % 12
    table.leave(slot)
"""


class Worker:
    """A process that counts what it is told to."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def count(self, key: str, hits: int, sent_bytes: int) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{key} {hits} {sent_bytes}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


@contextmanager
def worker(shared: Popularity) -> Iterator[Worker]:
    argv = [sys.executable, "-c", WORKER, str(shared.descriptor)]
    with subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=(shared.descriptor,),
    ) as process:
        try:
            yield Worker(process)
        finally:
            process.kill()


def test_a_drain_tells_what_workers_counted_since_the_one_before() -> None:
    shared = Popularity(2)
    with worker(shared) as one, worker(shared) as other:
        one.count("film/v1/a", 2, 100)
        other.count("film/v1/a", 3, 200)
        other.count("film/v1/b", 1, 7)
        assert shared.drain() == Drained({"film/v1/a": Hits(5, 300), "film/v1/b": Hits(1, 7)})
        assert shared.drain() == Drained()
        one.count("film/v1/b", 1, 1)
        assert shared.drain() == Drained({"film/v1/b": Hits(1, 1)})


def test_what_a_killed_worker_counted_is_drained_and_its_table_goes_to_the_next() -> None:
    shared = Popularity(1)
    with worker(shared) as one:
        slot = one.count("film/v1/a", 2, 100)
        one.kill()
    with worker(shared) as successor:
        assert successor.count("film/v1/b", 1, 1) != slot
        assert successor.count("film/v1/a", 1, 10) == slot
        assert shared.drain() == Drained({"film/v1/a": Hits(3, 110), "film/v1/b": Hits(1, 1)})


def test_a_worker_without_a_table_counts_where_nobody_looks() -> None:
    shared = Popularity(1)
    with worker(shared) as one, worker(shared) as other:
        one.count("film/v1/a", 1, 1)
        other.count("film/v1/a", 1, 1)
        assert shared.drain() == Drained({"film/v1/a": Hits(1, 1)})


def test_objects_beyond_the_slots_are_told_as_lost_until_a_drain_frees_some() -> None:
    shared = Popularity(1)
    table = shared.claim()
    slots = [table.take(f"film/v1/{number}") for number in range(SLOTS - 1)]
    assert 0 not in slots
    for slot in slots:
        table.hits[slot] += 1
        table.leave(slot)
    beyond = table.take("film/v1/beyond")
    assert beyond == 0
    table.hits[beyond] += 1
    table.sent_bytes[beyond] += 9
    drained = shared.drain()
    assert (len(drained.by_key), drained.lost) == (SLOTS - 1, Hits(1, 9))
    assert table.take("film/v1/beyond") != 0


def test_a_worker_that_died_while_it_wrote_a_key_leaves_a_slot_that_is_used_again() -> None:
    shared = Popularity(1)
    table = shared.claim()
    slot = table.take("film/v1/a")
    # As its death between the two steps of the version leaves it.
    shared._tables[0].version[slot] += 1
    table.hits[slot] += 1
    assert shared.drain() == Drained()
    shared._tables[0].drained_hits[slot] = table.hits[slot]
    successor = shared.claim()
    for number in range(SLOTS):
        taken = successor.take(f"film/v1/{number}")
        if taken == slot:
            break
    successor.hits[slot] += 1
    assert shared.drain().by_key == {f"film/v1/{number}": Hits(1, 0)}


def test_nothing_is_taken_for_anothers_while_slots_change_hands_under_the_drain() -> None:
    shared = Popularity(1)
    told, lost = dict.fromkeys(range(12), Hits()), Hits()
    argv = [sys.executable, "-c", HASTY, str(shared.descriptor)]
    with subprocess.Popen(argv, pass_fds=(shared.descriptor,)) as process:
        while True:
            ended = process.poll() is not None
            drained = shared.drain()
            for key, hits in drained.by_key.items():
                told[int(key.rpartition("/")[2])] += hits
            lost += drained.lost
            if ended:
                break
    assert process.returncode == 0
    assert sum(hits.hits for hits in told.values()) + lost.hits == 20_000
    for number, hits in told.items():
        # Each object has a size of its own: another's hits would show.
        assert hits.sent_bytes == hits.hits * (1 + number)


class CountedAsHappened(RuleBasedStateMachine):
    """Whatever is opened, asked for, closed and drained in whatever order: nothing is counted for an
    object that was not for it, and nothing is counted twice or forgotten."""

    keys = st.sampled_from([f"film/v1/{number}" for number in range(12)])

    def __init__(self) -> None:
        super().__init__()
        self.shared = Popularity(1)
        self.table = self.shared.claim(slots=FEW)
        self.open: list[tuple[str, int]] = []
        self.happened: dict[str, int] = {}
        self.told: dict[str, int] = {}
        self.lost = self.told_lost = 0

    @rule(key=keys)
    def opened(self, key: str) -> None:
        self.open.append((key, self.table.take(key)))

    @rule(which=st.integers(0, 30))
    def asked_for(self, which: int) -> None:
        if self.open:
            key, slot = self.open[which % len(self.open)]
            self.table.hits[slot] += 1
            if slot:
                self.happened[key] = self.happened.get(key, 0) + 1
            else:
                self.lost += 1

    @rule(which=st.integers(0, 30))
    def closed(self, which: int) -> None:
        if self.open:
            self.table.leave(self.open.pop(which % len(self.open))[1])

    @rule()
    def drained(self) -> None:
        drained = self.shared.drain()
        for key, counted in drained.by_key.items():
            self.told[key] = self.told.get(key, 0) + counted.hits
        self.told_lost += drained.lost.hits
        assert self.told == self.happened
        assert self.told_lost == self.lost

    @rule()
    def succeeded(self) -> None:
        """The worker dies, and another takes its table."""
        self.open.clear()
        self.table = self.shared.claim(slots=FEW)

    @invariant()
    def an_object_has_one_slot(self) -> None:
        slots = {(key, slot) for key, slot in self.open if slot}
        assert len({slot for _, slot in slots}) == len(slots) == len({key for key, _ in slots})


TestCountedAsHappened = CountedAsHappened.TestCase
TestCountedAsHappened.settings = settings(max_examples=60)
