"""LRU, SIEVE and S3-FIFO in plain Python, for the small form of the benchmark that runs with the tests.

The large one has libcachesim's; `test_bench.py` holds those here against them where it is installed.
LRU and SIEVE (Zhang and others, NSDI 2024), S3-FIFO (Yang and others, SOSP 2023).
"""

from collections import OrderedDict

from benchmarks.store.replay import Gate


class Lru:
    def __init__(self, capacity_bytes: int, gate: Gate):
        self._gate = gate
        self._room = capacity_bytes
        self._capacity = capacity_bytes
        self._held: OrderedDict[int, int] = OrderedDict()

    def ask(self, key: int, size_bytes: int, now: float) -> bool:
        if key in self._held:
            self._held.move_to_end(key)
            return True
        if size_bytes <= self._capacity and self._gate.admits(key, size_bytes, now):
            while self._room < size_bytes:
                self._room += self._held.popitem(last=False)[1]
            self._held[key] = size_bytes
            self._room -= size_bytes
        return False


class Sieve:
    """A hand goes from the oldest to the newest and takes the first that was not asked for since it passed."""

    def __init__(self, capacity_bytes: int, gate: Gate):
        self._gate = gate
        self._room = capacity_bytes
        self._capacity = capacity_bytes
        self._size: dict[int, int] = {}
        self._visited: dict[int, bool] = {}
        # Neighbours of each key; None is both ends.
        self._newer: dict[int | None, int | None] = {None: None}
        self._older: dict[int | None, int | None] = {None: None}
        self._hand: int | None = None

    def ask(self, key: int, size_bytes: int, now: float) -> bool:
        if key in self._size:
            self._visited[key] = True
            return True
        if size_bytes <= self._capacity and self._gate.admits(key, size_bytes, now):
            while self._room < size_bytes:
                self._evict()
            newest = self._older[None]
            self._newer[newest] = self._older[None] = key
            self._older[key], self._newer[key] = newest, None
            self._size[key], self._visited[key] = size_bytes, False
            self._room -= size_bytes
        return False

    def _evict(self) -> None:
        hand = self._hand if self._hand is not None else self._newer[None]
        while hand is None or self._visited[hand]:
            if hand is not None:
                self._visited[hand] = False
            hand = self._newer[hand]
        older, newer = self._older.pop(hand), self._newer.pop(hand)
        self._newer[older], self._older[newer] = newer, older
        self._hand = newer
        self._room += self._size.pop(hand)
        del self._visited[hand]


class S3Fifo:
    """A tenth for what is new; what is asked for again goes to the main queue, what leaves unasked is known for a
    while as a ghost."""

    def __init__(self, capacity_bytes: int, gate: Gate):
        self._gate = gate
        self._capacity = capacity_bytes
        self._small_max = capacity_bytes // 10
        self._small: OrderedDict[int, int] = OrderedDict()
        self._main: OrderedDict[int, int] = OrderedDict()
        self._ghost: OrderedDict[int, int] = OrderedDict()
        self._small_bytes = self._main_bytes = self._ghost_bytes = 0
        self._asked: dict[int, int] = {}

    def ask(self, key: int, size_bytes: int, now: float) -> bool:
        if key in self._asked:
            self._asked[key] = min(self._asked[key] + 1, 3)
            return True
        if size_bytes > self._small_max or not self._gate.admits(key, size_bytes, now):
            return False
        while self._small_bytes + self._main_bytes + size_bytes > self._capacity:
            if self._small_bytes > self._small_max or not self._main:
                self._evict_small()
            else:
                self._evict_main()
        self._asked[key] = 0
        if key in self._ghost:
            self._ghost_bytes -= self._ghost.pop(key)
            self._to_main(key, size_bytes)
        else:
            self._small[key] = size_bytes
            self._small_bytes += size_bytes
        return False

    def _to_main(self, key: int, size_bytes: int) -> None:
        self._main[key] = size_bytes
        self._main_bytes += size_bytes

    def _evict_small(self) -> None:
        key, size_bytes = self._small.popitem(last=False)
        self._small_bytes -= size_bytes
        if self._asked[key] > 1:
            self._asked[key] = 0
            self._to_main(key, size_bytes)
            return
        del self._asked[key]
        self._ghost[key] = size_bytes
        self._ghost_bytes += size_bytes
        while self._ghost_bytes > self._capacity - self._small_max:
            self._ghost_bytes -= self._ghost.popitem(last=False)[1]

    def _evict_main(self) -> None:
        while True:
            key, size_bytes = self._main.popitem(last=False)
            if not self._asked[key]:
                break
            self._asked[key] -= 1
            self._main[key] = size_bytes
        self._main_bytes -= size_bytes
        del self._asked[key]


PLAIN: dict[str, type[Lru | Sieve | S3Fifo]] = {"LRU": Lru, "SIEVE": Sieve, "S3-FIFO": S3Fifo}
