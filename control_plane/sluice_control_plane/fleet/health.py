"""Decides what is believed of an appliance from its heartbeats. Pure: time is an argument.

An appliance is named to clients only when it is UP. It comes UP slowly (several serving heartbeats in
a row) and goes DOWN at once, because naming a dead box costs a viewer more than not naming a live
one. A restart of the control plane is silence that is nobody's fault: what was UP is believed for a
while longer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Health(Enum):
    NEVER_SEEN = "never-seen"
    STARTING = "starting"
    UP = "up"
    DOWN = "down"


class Event(Enum):
    """What a heartbeat, or the lack of one, means."""

    # Serving, and not yet often enough in a row.
    SERVING = "serving"
    # Serving, and now often enough in a row.
    STEADY = "steady"
    # Another incarnation than before, serving.
    RESTARTED = "restarted"
    # The appliance itself says that it cannot serve.
    NOT_SERVING = "not serving"
    # The deadline passed.
    SILENT = "silent"


_N, _S, _U, _D = Health.NEVER_SEEN, Health.STARTING, Health.UP, Health.DOWN

TRANSITIONS: Mapping[tuple[Health, Event], Health] = {
    (_N, Event.SERVING): _S,
    (_N, Event.STEADY): _U,
    (_N, Event.RESTARTED): _S,
    (_N, Event.NOT_SERVING): _D,
    (_S, Event.SERVING): _S,
    (_S, Event.STEADY): _U,
    (_S, Event.RESTARTED): _S,
    (_S, Event.NOT_SERVING): _D,
    (_S, Event.SILENT): _D,
    (_U, Event.SERVING): _U,
    (_U, Event.STEADY): _U,
    (_U, Event.RESTARTED): _S,
    (_U, Event.NOT_SERVING): _D,
    (_U, Event.SILENT): _D,
    (_D, Event.SERVING): _S,
    (_D, Event.STEADY): _U,
    (_D, Event.RESTARTED): _S,
    (_D, Event.NOT_SERVING): _D,
    (_D, Event.SILENT): _D,
}


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """How much patience there is."""

    interval_s: float
    deadline_s: float
    up_after_heartbeats: int

    def grace_s(self) -> float:
        """How long an appliance that was UP is believed after our own restart: the deadline, and
        two intervals for its agent to find us again."""
        return self.deadline_s + 2 * self.interval_s


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What health is decided from."""

    incarnation: str
    sequence: int
    serving: bool


class ApplianceHealth:
    """The machine of one appliance."""

    def __init__(self, policy: HealthPolicy) -> None:
        self.health = Health.NEVER_SEEN
        self.reason = "never heard of"
        self.incarnation = ""
        # Whether it is DOWN for its silence, and not by its own word.
        self.silent = False
        self._policy = policy
        self._sequence = 0
        # Serving heartbeats in a row.
        self._in_a_row = 0
        self._deadline: float | None = None

    def restore(self, health: Health, incarnation: str, now: float) -> None:
        """Takes up what an earlier run of the control plane believed."""
        if health in (Health.STARTING, Health.DOWN):
            self.health, self.reason = Health.DOWN, "not heard since the control plane started"
            self.silent = True
        elif health is Health.UP:
            self.health, self.incarnation = health, incarnation
            self.reason = "was up when the control plane stopped"
            self._in_a_row = self._policy.up_after_heartbeats
            self._deadline = now + self._policy.grace_s()

    def receive(self, heartbeat: Heartbeat, now: float) -> bool:
        """Takes a heartbeat; says whether the health changed. One out of order is not counted."""
        known = heartbeat.incarnation == self.incarnation
        if known and heartbeat.sequence <= self._sequence:
            return False
        event = self._meaning(heartbeat, known=known)
        self.incarnation, self._sequence = heartbeat.incarnation, heartbeat.sequence
        self._deadline = now + self._policy.deadline_s
        return self._move(event)

    def on_deadline(self, now: float) -> bool:
        """Sees whether the deadline passed; says whether the health changed."""
        if self._deadline is None or now < self._deadline:
            return False
        self._deadline = None
        self._in_a_row = 0
        if self.health is Health.DOWN and not self.silent:
            # Its own word was the last, and stands.
            return False
        return self._move(Event.SILENT)

    def _meaning(self, heartbeat: Heartbeat, *, known: bool) -> Event:
        if not heartbeat.serving:
            self._in_a_row = 0
            return Event.NOT_SERVING
        restarted = bool(self.incarnation) and not known
        self._in_a_row = 1 if restarted else self._in_a_row + 1
        if self._in_a_row >= self._policy.up_after_heartbeats:
            return Event.STEADY
        return Event.RESTARTED if restarted else Event.SERVING

    def _move(self, event: Event) -> bool:
        before, self.health = self.health, TRANSITIONS[self.health, event]
        self.reason = self._words(event)
        self.silent = event is Event.SILENT
        return self.health is not before

    def _words(self, event: Event) -> str:
        wanted = self._policy.up_after_heartbeats
        match event:
            case Event.NOT_SERVING:
                return "says that it cannot serve"
            case Event.SILENT:
                return f"silent for longer than {self._policy.deadline_s:g} s"
            case Event.RESTARTED:
                return f"restarted; {self._in_a_row} of {wanted} serving heartbeats"
            case _ if self.health is Health.UP:
                return "serving"
            case _:
                return f"{self._in_a_row} of {wanted} serving heartbeats"
