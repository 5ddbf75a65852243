"""Attacks on running processes, and what has to hold while they go on."""
