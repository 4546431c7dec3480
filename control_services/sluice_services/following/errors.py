"""Why a value that was offered is not taken over."""


class UpdateRefused(Exception):
    """What was offered stays outside; what is held stays. `reason` is a label of a counter."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
