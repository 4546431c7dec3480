"""The health of every appliance: hears heartbeats, looks for silence, and says when a belief changes."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sluice_control_plane.errors import NotFound
from sluice_control_plane.fleet.appliances import Address
from sluice_control_plane.fleet.disks import Disk
from sluice_control_plane.fleet.health import ApplianceHealth, Health, HealthPolicy, Heartbeat

# A killed appliance leaves the map within the deadline and this.
EVALUATE_EVERY_S = 0.25


@dataclass(slots=True)
class Belief:
    """What is known of one appliance from its heartbeats and reports."""

    machine: ApplianceHealth
    address: Address = field(default_factory=Address)
    software_version: str = ""
    # Wall-clock seconds.
    heard_time: float | None = None
    # The operator's word, kept here so that a heartbeat is answered without the database.
    drained: bool = False
    # As it last reported.
    disks: tuple[Disk, ...] = ()


class FleetMonitor:
    """Beliefs by appliance id. `on_change` hears the ids whose health or address changed,
    `on_move` what each became."""

    def __init__(
        self,
        policy: HealthPolicy,
        *,
        clock: Callable[[], float],
        on_change: Callable[[frozenset[str]], None],
        on_move: Callable[[Health], None],
    ) -> None:
        self.policy = policy
        self._clock = clock
        self._on_change = on_change
        self._on_move = on_move
        self._beliefs: dict[str, Belief] = {}

    def expect(self, appliance_id: str) -> None:
        """There is a new appliance; heartbeats of others are refused."""
        self._beliefs.setdefault(appliance_id, self.new_belief())

    def belief(self, appliance_id: str) -> Belief:
        """Raises NotFound for an appliance that is not there."""
        found = self._beliefs.get(appliance_id)
        if found is None:
            raise NotFound(f"appliances/{appliance_id} is not there")
        return found

    def restore(self, appliance_id: str, health: Health, incarnation: str, belief: Belief) -> None:
        """Takes up what an earlier run believed."""
        belief.machine.restore(health, incarnation, self._clock())
        self._beliefs[appliance_id] = belief

    def new_belief(self) -> Belief:
        return Belief(ApplianceHealth(self.policy))

    def hear(
        self,
        appliance_id: str,
        heartbeat: Heartbeat,
        address: Address,
        software_version: str,
        *,
        wall_now: float,
    ) -> Belief:
        """Takes a heartbeat; returns what is believed now. Raises NotFound."""
        belief = self.belief(appliance_id)
        moved = belief.machine.receive(heartbeat, self._clock())
        told = (belief.address, belief.software_version) != (address, software_version)
        belief.address, belief.software_version = address, software_version
        belief.heard_time = wall_now
        if moved:
            self._on_move(belief.machine.health)
        if moved or told:
            self._on_change(frozenset({appliance_id}))
        return belief

    def look_for_silence(self) -> frozenset[str]:
        """Moves those whose deadline passed; returns whose health changed."""
        now = self._clock()
        fallen = frozenset(
            appliance_id
            for appliance_id, belief in self._beliefs.items()
            if belief.machine.on_deadline(now)
        )
        for _ in fallen:
            self._on_move(Health.DOWN)
        if fallen:
            self._on_change(fallen)
        return fallen

    async def run(self) -> None:
        """Looks for silence until cancelled."""
        while True:
            await asyncio.sleep(EVALUATE_EVERY_S)
            self.look_for_silence()

    def failed_disks(self) -> int:
        """Over all appliances."""
        return sum(disk.failed for belief in self._beliefs.values() for disk in belief.disks)

    def by_health(self) -> Mapping[Health, int]:
        """How many appliances there are of each health."""
        counts = dict.fromkeys(Health, 0)
        for belief in self._beliefs.values():
            counts[belief.machine.health] += 1
        return counts
