"""What the store refuses. A disk that fails raises OSError, as the disk said it."""


class StoreError(Exception):
    """The root of what the store refuses."""


class StoreInUse(StoreError):
    """Another process owns the store. Nothing to do here but stop."""


class BytesRefused(StoreError):
    """What was received is not the object. Begin again from byte 0, elsewhere."""


class TooManyBytes(BytesRefused):
    """More bytes than the object has."""


class DigestMismatch(BytesRefused):
    """As many bytes as the object has, and not the object's."""


class Incomplete(StoreError):
    """Fewer bytes than the object has. Go on from where it stands."""
