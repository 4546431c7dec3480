"""The poller tells every owner what it must know, whatever other owners do meanwhile."""

import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from appliance.serving.worker_by_hand import LoopByHand

from sluice_appliance.serving.events import BATCH, HUNG_UP, INCOMING, OUTGOING, Poller

Act = Callable[["Owner", int], None]


class Owner:
    """Notes what it is told, and does what the test says."""

    def __init__(self, poller: Poller, act: Act | None = None) -> None:
        self.masks: list[int] = []
        self.closed = 0
        self.act = act
        self.peer, self.socket = socket.socketpair()
        self.socket.setblocking(False)
        self.poller = poller
        self.fd = self.socket.fileno()
        poller.watch(self.fd, self)

    def on_event(self, mask: int) -> None:
        self.masks.append(mask)
        if self.act is not None:
            self.act(self, mask)

    def close(self) -> None:
        self.closed += 1
        self.poller.forget(self.fd)
        self.socket.close()
        self.peer.close()

    def told(self) -> list[int]:
        found, self.masks = self.masks, []
        return found


class Rig:
    def __init__(self) -> None:
        self.loop = LoopByHand()
        self.failures: list[Exception] = []
        self.poller = Poller(self.loop, self.failures.append)
        self.owners: list[Owner] = []

    def owner(self, act: Act | None = None) -> Owner:
        """One that was told of its beginning, that it can send."""
        found = Owner(self.poller, None)
        self.loop.turn()
        found.told()
        found.act = act
        self.owners.append(found)
        return found


@pytest.fixture
def rig() -> Iterator[Rig]:
    found = Rig()
    with closing(found.poller):
        yield found
        for owner in found.owners:
            owner.close()


def fails(owner: Owner, mask: int) -> None:
    raise RuntimeError("a fault of ours")


def test_an_owner_that_raises_is_closed_and_nobody_else_loses_an_event(rig: Rig) -> None:
    owners = [rig.owner(fails if number % 3 == 1 else None) for number in range(9)]
    for owner in owners:
        owner.peer.send(b"a")
    rig.loop.turn()
    assert [owner.closed for owner in owners] == [0, 1, 0] * 3
    assert [len(owner.masks) for owner in owners] == [1] * 9
    assert len(rig.failures) == 3
    rig.loop.turn()
    assert [len(owner.masks) for owner in owners] == [1] * 9


def test_an_owner_that_raises_when_its_turn_comes_later_takes_nobody_with_it(rig: Rig) -> None:
    owners = [rig.owner(), rig.owner(fails), rig.owner()]
    for owner in owners:
        rig.poller.later(owner)
    rig.loop.turn()
    assert [len(owner.masks) for owner in owners] == [1, 1, 1]
    assert [owner.closed for owner in owners] == [0, 1, 0]
    assert len(rig.failures) == 1
    rig.poller.later(owners[0])
    rig.loop.turn()
    assert len(owners[0].masks) == 2


def test_who_goes_on_later_goes_on_in_turn_however_often_it_asks(rig: Rig) -> None:
    order: list[int] = []

    def greedy(number: int, times: int) -> Act:
        def act(owner: Owner, mask: int) -> None:
            order.append(number)
            if len(order) < 60:
                for _ in range(times):
                    rig.poller.later(owner)

        return act

    owners = [rig.owner(greedy(number, times)) for number, times in enumerate((1, 50, 2))]
    for owner in owners:
        rig.poller.later(owner)
    for _ in range(100):
        rig.loop.turn()
    assert order[:60] == [0, 1, 2] * 20
    assert not rig.loop.soon


def test_those_who_always_could_go_on_do_not_keep_new_events_waiting(rig: Rig) -> None:
    rounds: list[int] = []

    def endless(owner: Owner, mask: int) -> None:
        rounds.append(mask)
        rig.poller.later(owner)

    rig.poller.later(rig.owner(endless))
    rig.loop.turn()
    quick = rig.owner()
    quick.peer.send(b"a")
    before = len(rounds)
    rig.loop.turn()
    assert quick.masks[0] & INCOMING
    # The loop's timers had their turn too: a bounded number of rounds.
    assert len(rounds) - before < 50


def test_an_owner_that_closes_another_of_the_same_batch_ends_what_it_is_told(rig: Rig) -> None:
    victims: list[Owner] = []

    def closes(owner: Owner, mask: int) -> None:
        for victim in victims:
            if not victim.closed and victim is not owner:
                victim.close()

    victims += [rig.owner(closes) for _ in range(4)]
    for owner in victims:
        owner.peer.send(b"a")
    rig.loop.turn()
    assert sum(len(owner.masks) for owner in victims) == 1
    assert rig.failures == []


def test_a_descriptor_that_is_another_owners_before_its_event_is_told_harms_nobody(
    rig: Rig,
) -> None:
    """The first of a batch closes the second; a third gets its descriptor."""
    heirs: list[Owner] = []

    def replaces(owner: Owner, mask: int) -> None:
        other = second if owner is first else first
        other.close()
        heirs.append(Owner(rig.poller))

    first, second = rig.owner(), rig.owner()
    first.act = second.act = replaces
    first.peer.send(b"a")
    second.peer.send(b"a")
    rig.loop.turn()
    (heir,) = heirs
    assert heir.fd in (first.fd, second.fd)
    # It may be told of what was the other's, and is told of its own.
    heir.told()
    heir.peer.send(b"b")
    rig.loop.turn()
    assert heir.masks[0] & INCOMING
    assert heir.socket.recv(10) == b"b"
    assert not heir.closed
    assert rig.failures == []
    heir.close()


def test_more_events_than_a_batch_are_all_told_in_one_turn(rig: Rig) -> None:
    owners = [rig.owner() for _ in range(BATCH + 20)]
    for owner in owners:
        owner.peer.send(b"a")
    rig.loop.turn()
    assert [len(owner.masks) for owner in owners] == [1] * len(owners)


def test_an_event_is_told_once_for_all_that_came_and_again_for_what_comes_then(rig: Rig) -> None:
    owner = rig.owner()
    owner.peer.send(b"a")
    owner.peer.send(b"b")
    rig.loop.turn()
    rig.loop.turn()
    assert len(owner.told()) == 1
    # Unread bytes stay unread; more of them is news.
    owner.peer.send(b"c")
    rig.loop.turn()
    assert len(owner.told()) == 1
    assert owner.socket.recv(10) == b"abc"


def test_bytes_that_come_with_the_end_are_told_with_the_end(rig: Rig) -> None:
    owner = rig.owner()
    owner.peer.send(b"a")
    owner.peer.shutdown(socket.SHUT_WR)
    rig.loop.turn()
    (mask,) = owner.told()
    assert mask & INCOMING
    assert mask & HUNG_UP
    # Half-closed: it can still be sent to.
    assert not mask & select.EPOLLHUP
    assert owner.socket.send(b"b") == 1


def test_who_could_not_send_is_told_when_it_can(rig: Rig) -> None:
    owner = rig.owner()
    while True:
        try:
            owner.socket.send(bytes(65536))
        except BlockingIOError:
            break
    rig.loop.turn()
    owner.told()
    received = 0
    while received < 1 << 20 and not owner.masks:
        received += len(owner.peer.recv(65536))
        rig.loop.turn()
    assert owner.masks[-1] & OUTGOING
    assert not owner.masks[-1] & INCOMING


def test_who_takes_over_a_descriptor_is_told_in_place_of_the_one_before(rig: Rig) -> None:
    before = rig.owner()
    after = rig.owner()
    rig.poller.watch(before.fd, after)
    before.peer.send(b"a")
    rig.loop.turn()
    assert before.masks == []
    assert len(after.masks) == 1


def test_a_poller_that_was_closed_tells_nobody_and_leaves_no_descriptor(rig: Rig) -> None:
    loop = LoopByHand()
    before = set(os.listdir("/proc/self/fd"))
    poller = Poller(loop, rig.failures.append)
    owner = Owner(poller)
    poller.later(owner)
    poller.close()
    loop.turn()
    assert owner.masks == []
    assert loop.readers == {}
    owner.close()
    assert set(os.listdir("/proc/self/fd")) == before
