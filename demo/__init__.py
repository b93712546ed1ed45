"""The demo: a film diary that works offline."""
