"""`sluice status`: the whole system at a glance."""
