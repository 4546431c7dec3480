"""Keeping the newest good value of a watch, in memory and on disk."""
