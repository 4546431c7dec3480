"""A player: what `sluice play` does, and what a real player must get right."""
