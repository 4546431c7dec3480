"""The default origin: the published folder over HTTP."""
