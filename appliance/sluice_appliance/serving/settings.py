"""What a pool tells its workers when it starts them: one line of JSON."""

from dataclasses import dataclass, field

import msgspec

from sluice_appliance.serving.limits import Limits
from sluice_appliance.serving.telling import Telling
from sluice_appliance.serving.tokens.gate import Demand
from sluice_appliance.store.disks import DiskPlace


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """How a store is served."""

    # The store's folder, which is its one disk where no others are named.
    store: str
    disks: tuple[DiskPlace, ...] = ()
    # What the box calls itself in Cache-Status and CDN-Loop.
    name: str = "sluice"
    limits: Limits = field(default_factory=Limits)
    telling: Telling = field(default_factory=Telling)
    # PEM files; both or none.
    tls_certificate: str = ""
    tls_key: str = ""
    # Whether requests need a token, and the file of the keys that tokens are signed with.
    tokens: Demand = Demand.OFF
    token_keys: str = ""
    # How many blocks the supervisor may hand to a worker, each a descriptor.
    pulled_blocks: int = 0

    def places(self) -> tuple[DiskPlace, ...]:
        """Where objects are looked for."""
        return self.disks or (DiskPlace(self.store, ""),)

    def to_json(self) -> str:
        return msgspec.json.encode(self).decode()


def from_json(text: str) -> ServingSettings:
    return msgspec.json.decode(text, type=ServingSettings)
