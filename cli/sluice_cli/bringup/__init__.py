"""`sluice up`: the whole system on one machine, as separate processes kept alive."""
