"""For tests of adapters and of apps that use this package. Needs no test framework."""
