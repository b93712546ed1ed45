"""Offline-first data for Python in the browser, in notebooks and on CPython."""

__version__ = "0.1.0"
