"""Why a box cannot start."""


class CannotStart(Exception):
    """A setting stands against it, which the message names. Nothing has been started."""
