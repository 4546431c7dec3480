"""Brings an object from one tier to the other: copied, verified and published like one that is filled."""

from sluice_appliance.store.disks import Tier
from sluice_appliance.store.errors import StoreError
from sluice_appliance.store.layout import BLOCK_BYTES, ObjectKey
from sluice_appliance.store.reading import open_object
from sluice_appliance.store.store import Store


def move(store: Store, key: ObjectKey, to: Tier) -> bool:
    """Returns when the object stands on that tier alone; False where it is held nowhere.

    Goes on where it was cut off. Raises StoreError where the object is not what it should be (and
    leaves it where it is), OSError.
    """
    if store.held(key, to) is None:
        source = next((tier for tier in Tier if tier is not to and store.held(key, tier)), None)
        if source is None:
            return False
        _copy(store, key, source, to)
    for tier in Tier:
        if tier is not to:
            store.delete(key, tier)
    return True


def _copy(store: Store, key: ObjectKey, source: Tier, to: Tier) -> None:
    with open_object(store.path_of(key, source)) as there:
        header = there.header
        partial = store.begin(
            key,
            header.size_bytes,
            header.sha256,
            header.content_type,
            tier=to,
            block_digests=there.block_digests,
        )
        try:
            for start in range(partial.received_bytes, header.size_bytes, BLOCK_BYTES):
                partial.write(there.read(start, min(BLOCK_BYTES, header.size_bytes - start)))
            partial.publish()
        except StoreError:
            partial.discard()
            raise
        finally:
            partial.close()
