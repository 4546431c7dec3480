"""Why a pool cannot serve as it was told: the operator changes a setting. Each message names it."""


class ServingRefused(OSError):
    """The root: say it in one line and end."""


class AddressRefused(ServingRefused):
    """The address cannot be bound."""


class TlsFilesRefused(ServingRefused):
    """The certificate and key cannot be used."""


class WorkerNotReplaced(ServingRefused):
    """A new worker did not come to accept; the one that it was to replace serves on."""
