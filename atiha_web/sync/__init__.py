"""The sync engine: journal, base, view and the cycle that reconciles them with a server."""
