"""Partners, their sites, the appliances in them, and what is believed of each from its heartbeats."""
