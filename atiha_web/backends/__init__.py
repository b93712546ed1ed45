"""Adapters to each platform; ``auto`` chooses one, ``base`` is the contract they keep."""
