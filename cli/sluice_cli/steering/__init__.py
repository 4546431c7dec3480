"""Steering from the desk: which answer a client gets, and why."""
