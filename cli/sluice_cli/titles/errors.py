"""What goes wrong with titles."""

from sluice_cli.errors import DeskError


class AddFailed(DeskError):
    """A file did not become a title that is live; the message says at which point."""
