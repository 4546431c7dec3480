"""The fleet from the desk: list, show, drain, undrain."""
