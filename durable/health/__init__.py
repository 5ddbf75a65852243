"""Probes: is the process alive, can it serve, does it consume."""
