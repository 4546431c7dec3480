"""Pulls the blocks that clients miss: each once, whoever asks for it, and none that nobody waits for.

A worker asks what an object is, then for blocks of it. What is in memory is handed over at once; what is
not is looked for on this box's flash and in what the fill brings, then asked of the sources. Every bound
has an answer: beyond it a client is sent elsewhere (`busy`) and `pulls_refused_total` counts it.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from sluice_appliance.fill.intake import Intake
from sluice_appliance.fill.source_book import SourcesUnknown
from sluice_appliance.pull.catalog import Catalog
from sluice_appliance.pull.flash import FlashBlocks
from sluice_appliance.pull.memory import BlockMemory, Holder
from sluice_appliance.pull.messages import Where, Why
from sluice_appliance.pull.negatives import Negatives
from sluice_appliance.pull.reading import PieceReader, Progress
from sluice_appliance.pull.tally import PullTally
from sluice_appliance.pull.vain_looks import VainLooks
from sluice_appliance.pull.verifying import Located
from sluice_appliance.pull.wants import PIECE_BLOCKS, Piece, Wants
from sluice_appliance.store.keeping import FlashCache, Found, Verdict
from sluice_appliance.store.layout import ObjectHeader
from sluice_runtime.logs import get_logger

log = get_logger(__name__)

# Requests to sources at a time, each with a block in memory that is not whole yet.
PULLS_MAX = 16
# Questions to the control plane at a time, and those who wait for the answers.
LOOKS_MAX = 64
LOOKERS_MAX = 4096
# What the smallest block counts for: a file in memory has its own cost, and its descriptor.
CHARGED_BYTES_MIN = 256 * 1024
# So many requests for one block count at once.
_COUNT_MAX = 16
# What is not in memory any more was pushed out before it came.
_BESIDE_MEMORY = {Found.FLASH: "flash", Found.MEMORY: "nowhere", Found.NOWHERE: "nowhere"}


class Worker(Holder, Protocol):
    """A serving worker, as far as it is answered."""

    def facts(self, number: int, header: ObjectHeader) -> None: ...
    def failed(self, number: int, why: Why) -> None: ...


class Waiter(NamedTuple):
    """One response of one worker."""

    worker: Worker
    number: int


class Puller:
    """Runs until cancelled; workers' questions come in between. `pressed`: players need the box more."""

    def __init__(
        self,
        catalog: Catalog,
        intake: Intake,
        cache: FlashCache,
        flash: FlashBlocks,
        tally: PullTally,
        *,
        took: Callable[[int], None] = lambda size_bytes: None,
        pressed: Callable[[], bool] = lambda: False,
    ) -> None:
        self._catalog = catalog
        self._cache = cache
        self._flash = flash
        self._tally = tally
        self._pressed = pressed
        self._reader = PieceReader(intake, tally, took=took, arrived=self._arrived)
        self._memory = BlockMemory()
        self._wants: Wants[Waiter] = Wants()
        self._negatives: Negatives[Why] = Negatives()
        self._vain_looks = VainLooks()
        self._looking: dict[str, dict[Waiter, None]] = {}
        # Blocks on their way.
        self._busy: set[tuple[str, int]] = set()
        self._pulls = 0
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(self._flash.run(self._hold, self._cache.lost))
                await asyncio.Event().wait()
        finally:
            self._group = None
            self._flash.close()
            self._memory.close()

    @property
    def blocks_in_memory(self) -> int:
        return len(self._memory)

    @property
    def waiting(self) -> int:
        """Responses that wait for blocks."""
        return len(self._wants)

    @property
    def pulls_under_way(self) -> int:
        """Requests to sources, and looks at this box's disks before them."""
        return self._pulls

    # --- what workers say -------------------------------------------------------------------------

    def look(self, worker: Worker, number: int, key: str) -> None:
        """What is this object?"""
        known = self._catalog.fresh(key)
        if known is not None:
            self._answer(key, known, (Waiter(worker, number),))
            return
        why = self._negatives.look(key, _now())
        if why is not None:
            self._tally.negative_hit()
            worker.failed(number, why)
            return
        waiting = self._looking.get(key)
        if waiting is not None and len(waiting) < LOOKERS_MAX:
            waiting[Waiter(worker, number)] = None
        elif waiting is not None or len(self._looking) >= LOOKS_MAX or self._group is None:
            self._refuse(worker, number, "looks")
        elif not self._vain_looks.begin(_now()):
            self._refuse(worker, number, "vain_looks")
        else:
            self._looking[key] = {Waiter(worker, number): None}
            self._group.create_task(self._look(key))

    def want(self, worker: Worker, number: int, key: str, first: int, end: int) -> None:
        """Blocks `first` up to before `end`, so many at most as one piece has."""
        located = self._catalog.known(key)
        why = Why.ABSENT if located is None else self._negatives.look(key, _now())
        if located is None or why is not None:
            self._tally.negative_hit()
            worker.failed(number, why or Why.ABSENT)
            return
        first, end = max(0, first), min(end, first + PIECE_BLOCKS, located.blocks)
        missing = [
            block for block in range(first, end) if not self._hand_over(worker, located, block)
        ]
        if missing and self._pressed():
            self._refuse(worker, number, "pressure")
        elif missing and not self._wants.add(Waiter(worker, number), key, missing):
            self._refuse(worker, number, "waiters")
        else:
            for block in missing:
                self._ask_for(located, block)
            self._begin_more()

    def asked(self, worker: Worker, key: str, counts: Iterable[tuple[int, int]]) -> None:
        """Requests that the worker answered from what it holds."""
        located = self._catalog.known(key)
        for block, count in counts:
            if located is not None and name_of(key, block) in self._memory:
                for _ in range(min(count, _COUNT_MAX)):
                    self._judge(located, block)

    def leave(self, worker: Worker, number: int) -> None:
        """This response waits for nothing any more."""
        self._wants.leave(Waiter(worker, number))

    def gone(self, worker: Worker, numbers: Iterable[int]) -> None:
        """The worker has ended, with these responses."""
        for number in numbers:
            self.leave(worker, number)
        for waiting in self._looking.values():
            for waiter in [each for each in waiting if each.worker is worker]:
                del waiting[waiter]
        self._memory.gone(worker)

    # --- what an object is ------------------------------------------------------------------------

    async def _look(self, key: str) -> None:
        found: Located | None = None
        try:
            found = await self._catalog.find(key)
            if found is not None:
                self._vain_looks.not_in_vain()
        except SourcesUnknown as error:
            # Nobody was asked, or nobody answered: that is no flood's doing.
            self._vain_looks.not_in_vain()
            log.warning("pull_not_looked_up", key=key, reason=str(error))
        finally:
            waiting = self._looking.pop(key)
        self._answer(key, found, tuple(waiting))

    def _answer(self, key: str, found: Located | None, waiters: Sequence[Waiter]) -> None:
        if found is not None and found.may_be_pulled:
            for waiter in waiters:
                waiter.worker.facts(waiter.number, found.header)
        else:
            self._fail(key, Why.ABSENT, waiters)

    def _fail(self, key: str, why: Why, waiters: Sequence[Waiter]) -> None:
        self._negatives.note(key, why, _now())
        self._tally.failed(why)
        for waiter in waiters:
            waiter.worker.failed(waiter.number, why)

    def _refuse(self, worker: Worker, number: int, bound: str) -> None:
        self._tally.refused(bound)
        self._wants.leave(Waiter(worker, number))
        worker.failed(number, Why.BUSY)

    # --- blocks -----------------------------------------------------------------------------------

    def _hand_over(self, worker: Worker, located: Located, block: int) -> bool:
        """Whether it is in memory."""
        name = name_of(located.header.key, block)
        if name not in self._memory:
            return False
        self._memory.give(name, worker)
        self._tally.block_asked("memory")
        self._judge(located, block)
        return True

    def _ask_for(self, located: Located, block: int) -> None:
        """A block that is not in memory."""
        on_its_way = (located.header.key, block) in self._busy
        found = self._judge(located, block).found
        self._tally.block_asked("under_way" if on_its_way else _BESIDE_MEMORY[found])

    def _judge(self, located: Located, block: int) -> Verdict:
        """One request for a block, and what follows from it for this one and for others."""
        key = located.header.key
        name = name_of(key, block)
        charged = max(CHARGED_BYTES_MIN, located.block_bytes(block))
        verdict = self._cache.request(name, charged, _now())
        for each in verdict.evicted:
            self._flash.delete(each)
        for each in verdict.dropped:
            self._memory.let_pass(each)
        if verdict.writes and name in self._memory:
            self._flash.write(name, self._memory.data(name))
            self._memory.let_pass(name)
        elif name in self._cache.memory:
            self._memory.stays(name)
        return verdict

    def _arrived(self, key: str, block: int, data: bytes, where: Where = Where.SOURCE) -> None:
        """Whoever waits has it, and it stays where the cache said."""
        name = name_of(key, block)
        self._tally.block_came(where)
        self._busy.discard((key, block))
        if name in self._cache.flash and where is not Where.FLASH:
            self._flash.write(name, data)
        self._memory.put(name, key, block, data)
        for waiter in self._wants.arrived(key, block):
            self._memory.give(name, waiter.worker)
        if name not in self._cache.memory:
            self._memory.let_pass(name)

    def _hold(self, left: Sequence[tuple[str, int]]) -> Sequence[str]:
        """What an earlier run left on flash; told is what there is no room for."""
        return self._cache.hold((name, max(CHARGED_BYTES_MIN, size)) for name, size in left)

    def _lost(self, name: str) -> None:
        """It did not come, so it is nowhere; what is on flash stays there."""
        if name not in self._memory and name not in self._flash:
            self._cache.lost(name)

    # --- pulls ------------------------------------------------------------------------------------

    def _begin_more(self) -> None:
        while self._pulls < PULLS_MAX and self._group is not None:
            piece = self._wants.next_piece(self._busy)
            if piece is None:
                return
            located = self._catalog.known(piece.key)
            if located is None:
                # Forgotten for others meanwhile: who waits looks again.
                self._fail_blocks(piece, range(piece.first, piece.end))
                continue
            if not located.by_block:
                piece = Piece(piece.key, 0, located.blocks)
            self._busy.update((piece.key, block) for block in range(piece.first, piece.end))
            self._pulls += 1
            self._group.create_task(self._pull(located, piece))
            self._look_again(piece.key)

    def _look_again(self, key: str) -> None:
        """A long response outlasts what was said when it began: sources move, their tokens run out, titles
        are taken back."""
        if (
            self._catalog.fresh(key) is None
            and key not in self._looking
            and self._group is not None
            and self._vain_looks.begin(_now())
        ):
            self._looking[key] = {}
            self._group.create_task(self._look(key))

    async def _pull(self, located: Located, piece: Piece) -> None:
        progress = Progress(piece.first, piece.end)

        def is_wanted() -> bool:
            blocks = range(progress.at, piece.end)
            if located.by_block:
                blocks = blocks[:1]
            return any(self._wants.is_wanted(piece.key, block) for block in blocks)

        try:
            await self._find_here(located, progress)
            if not progress.is_done and is_wanted():
                await self._reader.read(located, progress, is_wanted)
            left = range(progress.at, piece.end)
            if not progress.is_done and is_wanted():
                self._fail_blocks(piece, left)
        except OSError as error:
            # No descriptor or memory is left for one more block.
            log.error("pull_failed_here", key=piece.key, error=str(error))
            self._fail_blocks(piece, range(piece.first, piece.end))
        finally:
            for block in range(piece.first, piece.end):
                self._busy.discard((piece.key, block))
                if not self._wants.is_wanted(piece.key, block):
                    self._lost(name_of(piece.key, block))
            self._pulls -= 1
            self._begin_more()

    async def _find_here(self, located: Located, progress: Progress) -> None:
        """What this box has of it in other places, from the first block on."""
        while located.by_block and not progress.is_done:
            block = progress.at
            found = await self._flash.find(name_of(located.header.key, block), located, block)
            if found is None:
                return
            data, where = found
            progress.at += 1
            self._arrived(located.header.key, block, data, where)

    def _fail_blocks(self, piece: Piece, blocks: Iterable[int]) -> None:
        """No source had them right."""
        waiters = self._wants.failed(piece.key, blocks)
        log.warning("pull_failed", key=piece.key, first_block=piece.first, end_block=piece.end)
        self._fail(piece.key, Why.UNAVAILABLE, waiters)


def name_of(key: str, block: int) -> str:
    """What the cache calls a block: neighbours of a run are known by their number (`store/worth.py`)."""
    return f"{key}#{block}"


def _now() -> float:
    return asyncio.get_running_loop().time()
