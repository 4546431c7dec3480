"""What a desk command says when it cannot go on: one line, and the exit code."""


class DeskError(Exception):
    """The command failed. The message is one line that says what to do next."""

    exit_code = 1


class BadArgument(DeskError):
    """What was typed cannot be meant, or a file it names is wrong."""

    exit_code = 2


class NothingRuns(DeskError):
    """No system was started in the state folder."""


class ControlPlaneRefused(DeskError):
    """The control plane did not answer, or said no."""
