"""Settings that all tests share."""

from hypothesis import settings

# Two busy cores make single examples slow; and a failure found here is found again everywhere.
settings.register_profile("atiha", deadline=None, derandomize=True)
settings.load_profile("atiha")
