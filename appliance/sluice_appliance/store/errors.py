"""What the store refuses. A disk that fails raises OSError, as the disk said it."""


class StoreError(Exception):
    """The root of what the store refuses."""


class StoreInUse(StoreError):
    """Another process owns the store or one of its disks. Nothing to do here but stop."""


class DiskRefused(StoreError):
    """A folder that is no disk of this store. Change the configuration."""


class BytesRefused(StoreError):
    """What was received is not the object. Begin again from byte 0, elsewhere."""


class TooManyBytes(BytesRefused):
    """More bytes than the object has."""


class DigestMismatch(BytesRefused):
    """As many bytes as the object has, and not the object's."""


class BlockMismatch(StoreError):
    """A block came that is not the object's. It is missing as before: ask for it elsewhere."""


class NotInOrder(StoreError):
    """Bytes that do not go on where their block stands. Ask for what is `missing`."""


class Incomplete(StoreError):
    """Fewer bytes than the object has. Go on from where it stands."""
