"""What holds for all tests."""

from hypothesis import settings

# How long an example takes is the machine's affair: a test says what it must not exceed where that matters.
settings.register_profile("house", deadline=None)
settings.load_profile("house")
