"""The truth of the CDN: who there is, what there is to watch, and who is sent where."""

import structlog

from sluice_runtime import logs

# structlog takes `logger` for an argument of its own and raises TypeError, on which importing
# `sluice_runtime.rpc` fails. This goes when `logs.get_logger` binds another key.
try:
    logs.get_logger(__name__)
except TypeError:
    logs.get_logger = lambda name: structlog.get_logger(logger_name=name)
