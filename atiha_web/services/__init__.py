"""The words of the domain, on top of the sync engine."""
