"""What each appliance should hold, and where it may fetch it."""
